"""EASE: forgetting one person by an exact downdate against fitting again, and the error after many downdates.

    python -m benchmarks.ease_downdate --data DIR [--quick] [--out FILE]

A downdate is timed as it is used: the update itself and, apart, the update plus the recommendation list that follows
it. Loading the stored matrix and writing it durably are reported beside it, for a forget request pays them once.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.datasets import folder, ml100k
from db.log import InteractionLog
from recsys.ease import Ease, EaseFitter, EaseSettings
from recsys.splits import SplitRecipe

DELETIONS = 600


def clock(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call; the latter do not see what else the machine is doing."""
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - cpu


def durable_write(model: Ease) -> tuple[float, float]:
    """Seconds to write the whole model with fsync, and to load it again."""
    with tempfile.TemporaryDirectory() as place:

        def write() -> None:
            model.save(Path(place))
            for path in Path(place).iterdir():
                with path.open("rb") as stored:
                    os.fsync(stored.fileno())

        return clock(write)[0], clock(lambda: Ease.load(Path(place)))[0]


def without(log: InteractionLog, people: list[int]) -> InteractionLog:
    return log.take(~np.isin(log.user, people))


def measure(log: InteractionLog, deletions: int, seed: int) -> dict[str, float]:
    fitter = EaseFitter(EaseSettings(400.0))
    people = np.random.default_rng(seed).permutation(len(log.users))[:deletions].tolist()
    histories = log.histories()
    model, batch = fitter.fit(log), fitter.fit(log)
    kept = without(log, people)
    refits = [clock(lambda: fitter.fit(log)), clock(lambda: fitter.fit(kept))]
    updates, lists = [], []
    for done, person in enumerate(people, start=1):
        updates.append(clock(partial(model.remove, [histories[person]])))
        if done % 20 == 0:
            other = [histories[(person + 1) % len(histories)]]
            lists.append(clock(partial(model.candidates, other, other, 10))[0])
    at_once = clock(lambda: batch.remove([histories[p] for p in people]))
    oracle = fitter.fit(kept)
    wrote, loaded = durable_write(model)
    (refit, update), (refit_cpu, update_cpu) = [
        (min(r[part] for r in refits), np.array([u[part] for u in updates])) for part in (0, 1)
    ]
    some = histories[:200]
    return {
        "people": len(log.users),
        "items": len(log.items),
        "interactions": len(log),
        "deletions": deletions,
        "gram_and_inverse_s": refit,
        "gram_and_inverse_cpu_s": refit_cpu,
        "update_mean_s": float(update.mean()),
        "update_median_s": float(np.median(update)),
        "update_cpu_mean_s": float(update_cpu.mean()),
        "ratio_mean": refit / float(update.mean()),
        "ratio_median": refit / float(np.median(update)),
        "ratio_cpu": refit_cpu / float(update_cpu.mean()),
        "list_after_update_s": float(np.median(lists)),
        "all_at_once_s": at_once[0],
        "write_s": wrote,
        "load_s": loaded,
        "max_difference": float(np.abs(model.inverse() - oracle.inverse()).max()),
        "max_difference_at_once": float(np.abs(batch.inverse() - oracle.inverse()).max()),
        "max_score_difference": float(np.abs(model.scores(some) - oracle.scores(some)).max()),
        "difference_without_forgetting": float(np.abs(fitter.fit(log).inverse() - oracle.inverse()).max()),
        "residual": model.residual(kept, seed=seed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with train.txt and test.txt; ml-100k without it")
    parser.add_argument("--quick", action="store_true", help="60 deletions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    recipe = SplitRecipe()
    log = folder(given.data, recipe) if given.data or "LETHE_BENCH_DATA" in os.environ else ml100k(recipe)
    result = measure(log, 60 if given.quick else DELETIONS, given.seed)
    for name, value in result.items():
        print(f"{name:32} {value:>14,.6g}")
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
