"""What forgetting takes, in one run on one machine: shielding and erasing beside retraining, one request beside many.

    python -m benchmarks.forget_times [--quick] [--data DIR] [--work DIR] [--out FILE]

ml-100k is ingested, trained (LightGCN and EASE, no language model) and recommended from as a user would, into stores
under --work; every measured run works on a copy of them by the product's own functions. The model's part of an EASE
downdate is measured on --data (or LETHE_BENCH_DATA), and on ml-100k without one. Figures that --out holds already are
not measured again. Memory is the highest resident memory during the part, and how much of it is new.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ease_downdate
from benchmarks.datasets import folder, ml100k
from benchmarks.forget_latency import Python, spread
from db import artifacts, catalogue
from db.records import ForgetRequest, Selection, UserId
from db.store import Store
from pipelines import engine, models
from pipelines.config import checked_plan
from pipelines.erase import erase
from pipelines.evaluate.cost import Cost, measured
from pipelines.forget import forget, hide_files
from pipelines.ingest.job import ingest
from pipelines.ingest.read import read_ml100k
from pipelines.train import train
from pipelines.training.job import Bar
from pipelines.training.read import read
from recsys.splits import SplitRecipe

BACKBONES = ("lightgcn", "ease")

MANY, QUICK_MANY = 100, 20
"""Requests that are erased together."""

ROUNDS = {"lightgcn": 1, "ease": 3}
"""Erases of one and of many; the fastest of each counts."""

Row = dict[str, Any]


@dataclass(slots=True)
class Watch:
    """Notes when each stage of the product begins and ends, by its own progress labels."""

    ended: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, label: str) -> Iterator[Bar]:
        """A stage."""
        started = time.perf_counter()
        yield lambda done, total: None
        self.ended[label] = time.time()
        self.seconds[label] = self.seconds.get(label, 0.0) + time.perf_counter() - started


def made(root: Path, backbone: str) -> Store:
    """A store of ml-100k with this backbone and everybody's lists; one that is there already is used again."""
    whole = root.with_suffix(".whole")
    if not whole.exists():
        shutil.rmtree(root, ignore_errors=True)
        store, plan = Store.open(root, create=True), checked_plan({}, "the benchmark", backbone=backbone, scorer="off")
        ingest(store, read_ml100k(), now=datetime.now(UTC))
        train(store, plan)
        job, served = engine.start(store, plan, root / "recommendations.parquet")
        engine.run(store, job, served, progress=lambda done, total: None)
        store.close()
        whole.touch()
    return Store.open(root)


@contextmanager
def copied(base: Path, work: Path) -> Iterator[Store]:
    """A copy of a store, gone afterwards. Outside --work nothing is ever removed."""
    place = Path(tempfile.mkdtemp(prefix="copy-", dir=work)) / "root"
    shutil.copytree(base, place)
    store = Store.open(place)
    try:
        yield store
    finally:
        store.close()
        shutil.rmtree(place.parent)


def people(store: Store, count: int, seed: int) -> list[UserId]:
    """People by lot whom no request hides."""
    with store.reading() as unit:
        visible = sorted(user for user, stored in catalogue.stored_users(unit).items() if not stored.hidden_by)
    return random.Random(seed).sample(visible, count)


def ask(store: Store, users: Sequence[UserId]) -> list[ForgetRequest]:
    """What `lethe forget user` does once it has started: everything up to the point where readers see no row."""
    asked = forget(store, users, Selection(), now=datetime.now(UTC), deadline=timedelta(days=30))
    hide_files(store)
    return asked


def shielded(store: Store, count: int, seed: int) -> Row:
    """One person after another, inside this process."""
    users = people(store, count, seed)
    with measured() as cost:
        took = [ease_downdate.clock(partial(ask, store, [user])) for user in users]
    return {**spread(took), **memory(cost)}


def commands(store: Store, count: int, seed: int, compiled: Path) -> Row:
    """The same as whole processes; the first, which fills caches, is left out."""
    python, users = Python(compiled), people(store, count + 1, seed)
    took = [python.run(["forget", "user", user, "--root", str(store.root)]) for user in users]
    return spread(took[1:])


def retrained(store: Store, backbone: str) -> Row:
    """The live backbone fitted again on all visible rows, with its frozen settings and another seed."""
    with store.reading() as unit:
        settings = artifacts.live(unit, "settings", backbone)
    if settings is None:
        raise SystemExit(f"{store.root} holds no {backbone}: remove it and run again")
    log, frozen = read(store).log, settings.settings["backbone"]
    with measured() as cost:
        models.refit(backbone, log, frozen, seed=7, progress=lambda done, total: None)
    told = {"epochs": frozen["epochs"]} if "epochs" in frozen else {}
    return {**told, "seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, **memory(cost)}


def erased(store: Store, count: int, seed: int) -> Row:
    """So many people ask, and one `erase` finishes them: seconds in all and of its parts."""
    asked, watch = ask(store, people(store, count, seed)), Watch()
    began = time.time()
    with measured() as cost:
        done = erase(store, lambda documents: None, progress=watch)
    if len(done.requests) != count:
        raise SystemExit(f"{len(done.requests)} of {count} requests were erased")
    parts = _parts(store, asked[0], began, watch)
    rest = {"interactions": done.interactions, "fit": _fit(watch)}
    return {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, **parts, **rest, **memory(cost)}


def _parts(store: Store, request: ForgetRequest, began: float, watch: Watch) -> dict[str, float]:
    """Between the moments at which the store says that a step was done; a scrub ends with the search for residue."""
    asked = "SELECT name, done_at FROM forget_steps WHERE request = ?"
    with closing(sqlite3.connect(store.root / "lethe.db")) as connection:
        found = connection.execute(asked, (request.id,)).fetchall()
    done = {name: datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() for name, at in found}
    rewritten = watch.ended["purge and rewrite the database"]
    moments = [began, done["rebuild"], done["audit"], done["purge"], rewritten, done["scrub"], done["certify"]]
    names = ("rebuild", "audit", "purge", "vacuum", "residue", "certify")
    return {name: end - start for name, start, end in zip(names, moments[:-1], moments[1:], strict=True)}


def _fit(watch: Watch) -> float:
    """The training's part of the rebuild: the fit on validation rows and the fit on all rows."""
    return sum(seconds for label, seconds in watch.seconds.items() if label.startswith(("fit ", "choose ")))


def memory(cost: Cost) -> dict[str, float]:
    """The highest resident memory, and how much of it was new."""
    return {"peak_mb": cost.peak_mb, "new_mb": cost.peak_mb - cost.held_mb}


@dataclass(slots=True)
class Figures:
    """What was measured so far, by name, kept in a file."""

    out: Path | None
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.out and self.out.exists():
            self.rows = json.loads(self.out.read_text())

    def of(self, name: str, measure: Callable[[], Row]) -> Row:
        """Measure once."""
        if name not in self.rows:
            self.rows[name] = measure()
            self.write()
        row = self.rows[name]
        print(f"{name:24}", " ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float)), flush=True)
        return row

    def write(self) -> None:
        """Put the file in place."""
        if self.out:
            self.out.write_text(json.dumps(self.rows, indent=1) + "\n")


def measure(figures: Figures, given: argparse.Namespace) -> None:
    """Everything, the cheapest last; a store is made when the first figure needs it."""
    backbones, many = (("ease",), QUICK_MANY) if given.quick else (BACKBONES, MANY)
    for backbone in backbones:
        base = given.work / backbone
        for turn in range(1 if given.quick else ROUNDS[backbone]):
            for count in (1, many):
                name = f"erase/{backbone}/{count}/{turn}"
                figures.of(name, partial(_on_a_copy, base, backbone, partial(erased, count=count, seed=turn)))
        figures.of(f"retrain/{backbone}", partial(_on_a_copy, base, backbone, partial(retrained, backbone=backbone)))
    base, runs = given.work / backbones[0], 5 if given.quick else 30
    figures.of("shield/in process", partial(_on_a_copy, base, backbones[0], partial(shielded, count=runs, seed=1)))
    told = partial(commands, count=2 if given.quick else 9, seed=1, compiled=given.work / "compiled")
    figures.of("shield/command", partial(_on_a_copy, base, backbones[0], told))
    figures.of("downdate", partial(_downdates, given))


def _on_a_copy(base: Path, backbone: str, action: Callable[[Store], Row]) -> Row:
    made(base, backbone).close()
    with copied(base, base.parent) as store:
        return action(store)


def _downdates(given: argparse.Namespace) -> Row:
    recipe = SplitRecipe()
    log = folder(given.data, recipe) if given.data or "LETHE_BENCH_DATA" in os.environ else ml100k(recipe)
    with measured() as cost:
        found: Row = ease_downdate.measure(log, 60 if given.quick else ease_downdate.DELETIONS, 1)
    return {**found, **memory(cost)}


def ratios(rows: dict[str, Row]) -> dict[str, tuple[float, str]]:
    """What the figures say, with what is asked for; of a backbone's erases the fastest of their rounds count."""
    found: dict[str, tuple[float, str]] = {}
    for backbone in (name for name in BACKBONES if f"retrain/{name}" in rows):
        one, many, count = _erases(rows, backbone)
        found[f"{backbone}: {count} requests together over one"] = many["seconds"] / one["seconds"], "at most 1.5"
        found[f"{backbone}: the same without the fits"] = _unfitted(many) / _unfitted(one), ""
        for name, least in (("in process", "at least 1,000"), ("command", "at least 20")):
            over = rows[f"retrain/{backbone}"]["seconds"] / rows[f"shield/{name}"]["median"]
            found[f"{backbone}: retraining over shielding, {name}"] = over, least if _asked(backbone) else ""
    down = rows["downdate"]
    refit, each = down["gram_and_inverse_s"], down["update_mean_s"]
    served = each + down["load_s"] + down["write_s"]
    found["downdate: refit over one person's update"] = refit / each, "at least 300"
    found["downdate: refit over loading, update and durable write"] = refit / served, ""
    found["downdate: refit over a person's part of all at once"] = refit * down["deletions"] / down["all_at_once_s"], ""
    return found


def _asked(backbone: str) -> bool:
    """Of LightGCN alone a ratio of shielding is asked for: EASE is fitted in a moment."""
    return backbone == "lightgcn"


def _erases(rows: dict[str, Row], backbone: str) -> tuple[Row, Row, int]:
    """The fastest erase of one request, the fastest of many, and how many those were."""
    found: dict[int, list[Row]] = {}
    for name, row in rows.items():
        if name.startswith(f"erase/{backbone}/"):
            found.setdefault(int(name.split("/")[2]), []).append(row)
    best = {count: min(each, key=lambda row: float(row["seconds"])) for count, each in found.items()}
    return best[min(best)], best[max(best)], max(best)


def _unfitted(row: Row) -> float:
    return float(row["seconds"] - row["fit"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="EASE alone, few requests: under a minute")
    parser.add_argument("--data", help="folder with train.txt and test.txt for the downdate; ml-100k without it")
    parser.add_argument("--work", type=Path, help="folder that keeps the stores for the next run")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        given.work = given.work or Path(scratch)
        given.work.mkdir(parents=True, exist_ok=True)
        figures = Figures(given.out)
        measure(figures, given)
    told = ratios({name: row for name, row in figures.rows.items() if name != "ratios"})
    for name, (value, wanted) in told.items():
        print(f"{name:56} {value:>10,.4g}  {wanted}")
    figures.rows["ratios"] = {name: value for name, (value, _) in told.items()}
    figures.write()


if __name__ == "__main__":
    main()
