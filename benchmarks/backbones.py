"""Backbones side by side: quality of the served path, training seconds, and what folding in costs or gains.

    python -m benchmarks.backbones [--quick] [--upstream] [--data DIR] [--out FILE]

Settings are chosen on validation rows and figures are NDCG@10 on test rows: full ranking with training and validation
items left out (as RecBole does), histories of training rows only, lists from `Backbone.candidates`. People without a
training row are cold and get popularity; warm people and everybody are reported apart. `--upstream` adds RecBole as it
comes (minutes). A run that was stopped goes on where `--out` ends.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import recbole_default
from benchmarks.datasets import folder, ml100k
from db.log import InteractionLog
from db.records import Split
from recsys.candidates import Backbone, FloatArray, IntArray
from recsys.ease import EaseFitter, choose_lambda
from recsys.heldout import HeldOut, held_out, lists
from recsys.metrics import PerPerson, evaluate, paired_bootstrap
from recsys.popularity import Popularity, PopularityFitter
from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS, RecBoleFitter, TrainSettings
from recsys.splits import SplitRecipe
from recsys.topk import top_k

MODELS = {"lightgcn": LIGHTGCN_SETTINGS, "bpr": BPR_SETTINGS}

UPSTREAM = {"bpr": "BPR", "lightgcn": "LightGCN"}

LARGE_BATCH = 16384
"""For ML-1M: fewer, larger steps."""

Row = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """One log with its questions, and the rows measured so far, kept in a file."""

    log: InteractionLog
    out: Path | None
    rows: dict[str, Row] = field(default_factory=dict)

    def stage(self, key: str, measure: Callable[[], Row]) -> Row:
        """Measure once; a row that the file already holds is not measured again."""
        if key not in self.rows:
            self.rows[key] = measure()
            if self.out:
                self.out.write_text(json.dumps(self.rows, indent=1) + "\n")
        print(f"{key:28}", " ".join(f"{k} {show(v)}" for k, v in self.rows[key].items()), flush=True)
        return self.rows[key]


def show(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def questions(log: InteractionLog) -> tuple[InteractionLog, HeldOut, HeldOut]:
    """Training rows, validation questions of warm people, and all test questions."""
    valid = held_out(log, Split.VALID)
    return log.only(Split.TRAIN), valid.take(valid.warm), held_out(log, Split.TEST)


def quality(model: Backbone, floor: Popularity, test: HeldOut) -> Row:
    """NDCG@10 (and more) of warm people by `model`, of cold people by popularity, and of everybody."""
    warm, cold = test.take(test.warm), test.take(~test.warm)
    by_model = evaluate(lists(model, warm, 10), warm.relevant, 10)
    row: Row = {"warm": len(warm.people), "cold": len(cold.people), **by_model.means()}
    if len(cold.people):
        served = [c.rows for c in floor.fallback(cold.exclude, 10)]
        by_floor = evaluate(served, cold.relevant, 10)
        row["cold_ndcg@10"] = float(by_floor.ndcg.mean())
        row["all_ndcg@10"] = float(np.concatenate([by_model.ndcg, by_floor.ndcg]).mean())
    return row


def simple(log: InteractionLog, name: str) -> Row:
    """Popularity, or EASE with λ chosen on validation; seconds are those of the fit."""
    train, valid, test = questions(log)
    floor = PopularityFitter().fit(train)
    if name == "popularity":
        return quality(floor, floor, test)
    settings, _ = choose_lambda(train, valid)
    start = time.perf_counter()
    model = EaseFitter(settings).fit(train)
    return quality(model, floor, test) | {"lambda": settings.regularisation, "seconds": time.perf_counter() - start}


def trained(log: InteractionLog, settings: TrainSettings, seed: int) -> Row:
    """A RecBole model, its best epoch by validation, and the user rows it was trained with beside the folded-in."""
    train, valid, test = questions(log)
    floor = PopularityFitter().fit(train)
    states: dict[int, tuple[FloatArray, FloatArray]] = {}
    start, cpu = time.perf_counter(), time.process_time()
    fitted = RecBoleFitter(settings).fit(
        train, seed=seed, validation=valid, watch=lambda epoch, users, items: states.update({epoch: (users, items)})
    )
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    row = quality(fitted.backbone, floor, test) | {"epoch": fitted.epoch, "epochs": fitted.curve[-1][0]}
    warm = test.take(test.warm)
    folded = evaluate(lists(fitted.backbone, warm, 10), warm.relevant, 10)
    users, items = states[fitted.epoch]
    own = by_rows(users[warm.people] @ items.T, warm)
    gain = paired_bootstrap(folded.ndcg, own.ndcg, seed=seed)
    best_own = max((float(by_rows(u[warm.people] @ i.T, warm).ndcg.mean()) for u, i in states.values()), default=0.0)
    row |= {"trained_rows": float(own.ndcg.mean()), "trained_rows_best_epoch_on_test": best_own}
    return row | {"fold_gain": gain.mean, "low": gain.low, "high": gain.high, "seconds": seconds, "cpu_seconds": cpu}


def by_rows(scores: FloatArray, asked: HeldOut) -> PerPerson:
    found: list[IntArray] = [c.rows for c in top_k(scores, asked.exclude, 10)]
    return evaluate(found, asked.relevant, 10)


def refit(log: InteractionLog, settings: TrainSettings, epochs: int) -> Row:
    """Seconds to fit again on all rows with frozen settings: what a person's removal costs."""
    start, cpu = time.perf_counter(), time.process_time()
    RecBoleFitter(replace(settings, epochs=epochs)).fit(log, seed=7)
    return {"epochs": epochs, "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}


def small(out: Path | None, rows: dict[str, Row], seeds: list[int], upstream: bool) -> None:
    for split in ("random", "temporal"):
        log = ml100k(SplitRecipe(split))
        bench = Bench(log, out, rows)
        for name in ("popularity", "ease"):
            bench.stage(f"{split}/{name}", partial(simple, log, name))
        for name, settings in MODELS.items():
            for seed in seeds:
                row = bench.stage(f"{split}/{name}/seed {seed}", partial(trained, log, settings, seed))
            if split == "random":
                bench.stage(f"all rows/{name}", partial(refit, log, settings, row["epoch"]))
            if split == "random" and upstream:
                theirs = partial(recbole_default.train, UPSTREAM[name], log, 2020)
                compare(name, row, bench.stage(f"random/RecBole's {name}", theirs))


def compare(name: str, ours: Row, theirs: Row) -> None:
    print(
        f"{name}: NDCG@10 {ours['ndcg@10'] / theirs['ndcg@10']:.3f} of RecBole's, "
        f"seconds {ours['seconds'] / theirs['seconds']:.3f}, "
        f"processor seconds {ours['cpu_seconds'] / theirs['cpu_seconds']:.3f}"
    )


def large(out: Path | None, rows: dict[str, Row], data: str, seed: int) -> None:
    bench = Bench(folder(data, SplitRecipe()), out, rows)
    for name in ("popularity", "ease"):
        bench.stage(f"data/{name}", partial(simple, bench.log, name))
    for name, settings in MODELS.items():
        bench.stage(f"data/{name}", partial(trained, bench.log, replace(settings, batch=LARGE_BATCH), seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed instead of three")
    parser.add_argument("--upstream", action="store_true", help="train RecBole's default BPR and LightGCN too")
    parser.add_argument("--data", help="a folder with train.txt and test.txt, measured instead of ml-100k")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows: dict[str, Row] = json.loads(given.out.read_text()) if given.out and given.out.exists() else {}
    if given.data:
        large(given.out, rows, given.data, 1)
    else:
        small(given.out, rows, [1] if given.quick else [1, 2, 3], given.upstream)


if __name__ == "__main__":
    main()
