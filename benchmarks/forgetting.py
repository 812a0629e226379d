"""Ways to forget, compared as the CRAGRU paper compared them, and the page of it.

    python -m benchmarks.forgetting [--quick] [--data DIR] [--minutes N] [--out DIR] [--page FILE]

ml-100k: every method with BPR, LightGCN and EASE, under 10% of the interactions, 1% and 5% of the people, with and
without the re-ranker (the paper's Tables II and III, Fig. 3), 1, 10 and 100 requests in sequence by methods that take
them one by one, history filters against random (Fig. 4), and attacks for membership on canaries. A folder with
train.txt and test.txt (`user item item ...`) has neither titles nor times: its backbones alone, on its own split.

One seed of everything comes first, so that a page of few parts can be read. Finished parts are kept under --out: run it
again until it ends with 0; status 75 says that parts are left. Nothing is begun that would likely end after --minutes.
--page is written when nothing is left; OUT/forgetting.md always. Two runs may share --out, each with backbones of its
own (--backbone, and --no-filters for one of them), or one with --only-membership; a last run of everything, which finds
all parts kept, writes the whole page.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import filters
from benchmarks.datasets import ml100k, published
from db import files
from db.records import Split
from db.store import Store
from pipelines.cli.output import plain, progress, say
from pipelines.config import checked_plan
from pipelines.evaluate.data import read
from pipelines.evaluate.keep import FolderKeeper, StoreKeeper
from pipelines.evaluate.methods import METHODS, ORACLE
from pipelines.evaluate.page import About, Part, Section, write
from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.pictures import Dot, Picture
from pipelines.evaluate.rerank import Reranker
from pipelines.evaluate.run import Grid, Lab, machine, run
from pipelines.evaluate.shadows import Inquiry
from pipelines.evaluate.split import Data, with_split
from pipelines.evaluate.summary import summarise
from pipelines.ingest.job import ingest
from pipelines.ingest.read import read_ml100k
from recsys.ease import EaseFitter, choose_lambda
from recsys.heldout import held_out
from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS
from recsys.splits import SplitRecipe

BACKBONES, PROTOCOLS = ("bpr", "lightgcn", "ease"), ("interactions-10", "users-5")

FEW, SEQUENCES = ("users-1",), ("sequence-1", "sequence-10", "sequence-100")
"""Protocols that one seed is spent on, with three oracles."""

FIRST = 3
"""Grids of cells before the attacks: one seed of every method under the main protocols, beside all oracles."""

ONE_BY_ONE = ("shield", "sisa", "scif", "ifru")
"""Methods that are asked many times over: a retraining for each request is known without trying."""

ATTACKED = ("shield", "retrain", "downdate", "scif", "ifru")
"""Methods whose models are attacked for membership: those that start from a plain fit, which one shadow shares."""

CANARIES = {"planted": ("ease", "bpr", "lightgcn"), "people": ("ease", "bpr")}
"""Backbones that are attacked by planted canaries, which are found where real people are remembered too little."""

WEIGHT = 0.3
"""The re-ranker's share: a fixed one, since the weight that validation rows choose for lethe-tiny is mostly 0."""

PEOPLE, QUICK_PEOPLE = 200, 20
"""Whose lists are re-ranked under the first protocol with the first seed, the same under every method."""

MINUTES, QUICK_MINUTES = 55.0, 14.0

ML100K = "ml-100k"

LARGE = {
    "bpr": replace(BPR_SETTINGS, batch=16384, epochs=55),
    "lightgcn": replace(LIGHTGCN_SETTINGS, batch=16384, epochs=80),
}
"""Settings of a folder without validation rows, as `benchmarks.backbones --data` chose them for ML-1M."""

PAPER = {
    (ML100K, "bpr"): ((0.7845, 0.2910), (0.7116, 0.2801)),
    (ML100K, "lightgcn"): ((0.7739, 0.2790), (0.6384, 0.2156)),
    ("ml-1m", "bpr"): ((0.7403, 0.2555), (0.6412, 0.2127)),
    ("ml-1m", "lightgcn"): ((0.7377, 0.2533), (0.6556, 0.2221)),
}
"""HR@10 and NDCG@10 of Retrain and of CRAGRU, 10% forgotten, as the CRAGRU paper's Table II states them."""

NETFLIX = (
    "Not run: no data here. `lethe ingest netflix DIR` reads the Prize's files, and `lethe evaluate forgetting "
    "--page FILE` then measures them as it does any other rows."
)


@dataclass(frozen=True, slots=True)
class Budget:
    """Until when parts may be begun, by the monotonic clock."""

    until: float

    @property
    def minutes(self) -> float:
        """What is left, never below 0."""
        return max(0.0, (self.until - time.monotonic()) / 60)


def ml100k_lab(out: Path, asked: argparse.Namespace) -> Lab:
    """The store of ml-100k, made on the first run, under the paper's split."""
    store = Store.open(out / ML100K, create=True)
    ingest(store, read_ml100k(), now=datetime.now(UTC))
    data = read(store, "paper")
    plan = checked_plan({}, "the benchmark", scorer="packed")
    people = QUICK_PEOPLE if asked.quick else PEOPLE
    reranker = None if asked.no_rerank else Reranker.loaded(plan, data.items, people)
    return Lab(data, StoreKeeper(store, data.epoch), METHODS, progress, reranker, asked.weight)


def folder_lab(out: Path, folder: Path, *, quick: bool) -> Lab:
    """A folder's published split; nothing is known of its items, so nothing is re-ranked."""
    data: Data = with_split(published(folder), "published", {"name": "published"}, epoch=0)
    settings = {} if quick else {name: asdict(known) for name, known in LARGE.items()}
    return Lab(data, FolderKeeper(out / "folders" / folder.name), METHODS, progress, settings=settings)


def grids(asked: argparse.Namespace, backbones: Sequence[str]) -> list[Grid]:
    """What is measured, in this order: one seed of everything first, what takes longest for the least last."""
    cells = [] if asked.only_membership else _cells(asked, tuple(backbones))
    shadows = [] if asked.no_membership else attacks(asked, backbones)
    return [*cells[:FIRST], *shadows, *cells[FIRST:]]


def _cells(asked: argparse.Namespace, backbones: tuple[str, ...]) -> list[Grid]:
    own = {"quick": asked.quick, "reranked": PROTOCOLS[:1], "reranked_seeds": 1}
    methods, oracles = tuple(asked.method or METHODS), 3 if asked.quick else asked.oracles
    one_by_one = tuple(name for name in ONE_BY_ONE if name in methods)
    trained = tuple(name for name in backbones if name != "ease")
    exact = tuple(name for name in backbones if name == "ease")
    found = [Grid(backbones, methods, PROTOCOLS, seeds=1, oracles=3, **own)]
    found += [Grid(exact, methods, (*FEW, *SEQUENCES), seeds=1, oracles=3, **own)]
    if asked.quick:
        return found
    found += [Grid(backbones, methods, PROTOCOLS, seeds=1, oracles=oracles, **own)]
    found += [Grid(trained, methods, FEW, seeds=1, oracles=3, **own)]
    found += [Grid(trained, one_by_one, SEQUENCES[:2], seeds=1, oracles=3, **own)]
    for seeds in range(2, asked.seeds + 1):
        found.append(Grid(backbones, methods, PROTOCOLS, seeds=seeds, oracles=oracles, **own))
    return [*found, Grid(tuple(n for n in trained if n == "bpr"), one_by_one, SEQUENCES[2:], seeds=1, oracles=3, **own)]


def attacks(asked: argparse.Namespace, backbones: Sequence[str]) -> list[Grid]:
    """Grids without cells: the shadow trainings of each kind of canary, of the quickest backbone first."""
    methods = tuple(name for name in ATTACKED if name in (asked.method or METHODS))
    pairs = [(kind, name) for kind, known in CANARIES.items() for name in known if name in backbones]
    pairs = [pair for pair in pairs if not asked.quick or pair[1] == "ease"]
    return [Grid((name,), methods, (), inquiry=Inquiry(kind), quick=asked.quick) for kind, name in pairs]


def folder_grids(asked: argparse.Namespace) -> list[Grid]:
    """The same for a large folder: a trained backbone under the first protocol alone."""
    wanted = tuple(asked.backbone or ("ease", "bpr", "lightgcn"))
    methods = tuple(asked.method or METHODS)
    exact, trained = (tuple(n for n in wanted if (n == "ease") is same) for same in (True, False))
    return [
        Grid(exact, methods, PROTOCOLS, seeds=1, oracles=3, quick=asked.quick),
        Grid(trained, methods, PROTOCOLS[:1], seeds=1, oracles=3, quick=asked.quick),
    ]


def measured(lab: Lab, wanted: Sequence[Grid], budget: Budget) -> dict[str, Any]:
    """The summary of a data set after as much as the budget allows."""
    found: dict[str, Any] = plain(summarise(lab, run(lab, *wanted, minutes=budget.minutes)))
    return found


def filters_compared(keeper: FolderKeeper, budget: Budget, *, quick: bool) -> dict[str, Any] | None:
    """NDCG@10 by what a filter keeps, over EASE; None where there is no time left for it (it takes minutes)."""
    name = "filters-quick" if quick else "filters"
    folder = keeper.find(name)
    if folder is None:
        if budget.minutes < (2 if quick else 5):
            return None
        log = ml100k(SplitRecipe())
        train, validation = log.only(Split.TRAIN), held_out(log, Split.VALID)
        backbone = EaseFitter(choose_lambda(train, validation)[0]).fit(train)
        table = filters.compare(backbone, log, filters.fitted(log, backbone, {}), 1 if quick else 3)
        folder = keeper.keep(name, lambda where: files.write_json(where / "filters.json", table), {})
    found: dict[str, Any] = json.loads((folder / "filters.json").read_text(encoding="utf-8"))
    return found


def filter_section(found: Mapping[str, Any] | None) -> Section:
    """Fig. 4: filters at equal length against random rows, and the whole history."""
    title = "History filters at equal length (ml-100k, the paper's Fig. 4)"
    if found is None:
        return Section(title, "Not measured yet.")
    rows, lines = [], []
    for length, figures in found.items():
        named = {"all rows" if name == "none" else name: v for name, v in figures.items() if isinstance(v, list)}
        for name, (value, gain, low, high) in named.items():
            beats = "yes" if low > 0 else "worse" if high < 0 else "cannot tell"
            told = (f"{value:.4f}", f"{figures['random']:.4f}", f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]")
            rows.append((length, str(figures["people"]), name, *told, beats))
            lines.append((f"{length} {name}", [Dot("gain", gain, low, high)]))
    headers = ("length", "people", "filter", "NDCG@10", "random rows", "difference", "better than random")
    text = (
        "EASE serves each person from the rows a filter keeps; split 80/10/10, people with more rows than the length, "
        "paired bootstrap over people.\n\n" + markdown(headers, rows) + "\n\n{filters}"
    )
    return Section(
        title, text, {"filters": Picture("NDCG@10 beyond random rows of the same number", lines, (0.0, 0.0))}
    )


def paper_section(parts: Sequence[Part]) -> Section:
    """The paper's figures beside ours, as ratios to retraining: its units are its own."""
    rows = []
    for (data, backbone), ((hits, ndcg), (their_hits, their_ndcg)) in PAPER.items():
        theirs = (f"{hits:.4f} / {ndcg:.4f}", f"{their_hits:.4f} / {their_ndcg:.4f}", f"{their_ndcg / ndcg:.2f}")
        rows.append((data, backbone, *theirs, *_ours(parts, data, backbone)))
    headers = ("data", "backbone", "Retrain HR@10 / NDCG@10", "CRAGRU", "CRAGRU of Retrain")
    ours = ("our oracle HR@10 / NDCG@10", "our shield", "shield of oracle")
    text = (
        "The paper's figures for 10% forgotten, as it states them. They are not ours to compare one by one: its code "
        "lets test items into prompts and scores forgotten people as rows of zeros. Its way, done right, is `shield`.\n"
        "\n"
    )
    return Section("The paper's numbers", text + markdown((*headers, *ours), rows))


def _ours(parts: Sequence[Part], data: str, backbone: str) -> tuple[str, str, str]:
    wanted = (backbone, PROTOCOLS[0])
    tables = [t for p in parts if p.name == data for t in p.found["tables"] if (t["backbone"], t["protocol"]) == wanted]
    rows = {row["method"]: row["utility"] for table in tables for row in table["rows"]}
    if not {ORACLE, "shield"} <= rows.keys():
        return ("not measured",) * 3
    told = [f"{_mean(rows[m], 'hit_rate@10'):.4f} / {_mean(rows[m], 'ndcg@10'):.4f}" for m in (ORACLE, "shield")]
    return told[0], told[1], f"{_mean(rows['shield'], 'ndcg@10') / _mean(rows[ORACLE], 'ndcg@10'):.2f}"


def _mean(use: Mapping[str, Any], metric: str) -> float:
    return float(use["metrics"][metric]["mean"])


def stored(out: Path) -> list[Part]:
    """The summaries of every data set measured so far, ml-100k first."""
    found = sorted(out.glob("summary-*.json"), key=lambda path: (path.stem != f"summary-{ML100K}", path.stem))
    return [Part(p.stem.removeprefix("summary-"), json.loads(p.read_text(encoding="utf-8"))) for p in found]


def notes(asked: argparse.Namespace) -> Iterator[str]:
    """What a reader must know of the settings."""
    seeds, oracles = (1, 3) if asked.quick else (asked.seeds, asked.oracles)
    yield f"Seeds: trainings below {seeds}, oracles below {oracles} (of their own), what is forgotten 0."
    if asked.quick:
        yield "A quick run: trained backbones have few epochs and are undertrained; its figures are no results."
    if not asked.no_rerank:
        people = QUICK_PEOPLE if asked.quick else PEOPLE
        yield (
            f"Re-ranker: lethe-tiny, packed, weight {asked.weight}, under {PROTOCOLS[0]} with the first seed (of the "
            f"oracles three), the same {people} people under every method."
        )
    yield f"{', '.join((*FEW, *SEQUENCES))}: one seed and three oracles."
    yield f"Sequences with BPR and LightGCN: {', '.join(ONE_BY_ONE)} alone; a hundred requests with BPR alone."


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, few epochs, under 15 minutes")
    parser.add_argument("--data", type=Path, help="also this folder with train.txt and test.txt")
    parser.add_argument("--only-data", action="store_true", help="leave ml-100k out")
    parser.add_argument("--minutes", type=float, help=f"{MINUTES:.0f}, or {QUICK_MINUTES:.0f} with --quick")
    parser.add_argument("--out", type=Path, default=Path("bench-out/forgetting"))
    parser.add_argument("--page", type=Path)
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--method", action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--oracles", type=int, default=5)
    parser.add_argument("--no-membership", action="store_true", help="leave the attacks for membership out")
    parser.add_argument("--only-membership", action="store_true", help="nothing but them")
    parser.add_argument("--weight", type=float, default=WEIGHT)
    parser.add_argument("--no-rerank", action="store_true")
    parser.add_argument("--no-filters", action="store_true", help="leave the history filters to another run")
    return parser.parse_args()


def main() -> None:
    """Measure what is left, and write the page."""
    asked = arguments()
    minutes = asked.minutes or (QUICK_MINUTES if asked.quick else MINUTES)
    budget = Budget(time.monotonic() + 60 * minutes)
    out = asked.out / ("quick" if asked.quick else "full")
    out.mkdir(parents=True, exist_ok=True)
    if not asked.only_data:
        found = measured(ml100k_lab(out, asked), grids(asked, asked.backbone or BACKBONES), budget)
        files.write_json(out / f"summary-{ML100K}.json", found)
    if asked.data:
        found = measured(folder_lab(out, asked.data, quick=asked.quick), folder_grids(asked), budget)
        files.write_json(out / f"summary-{asked.data.name}.json", found)
    no_filters = asked.only_data or asked.no_filters or asked.only_membership
    gain = filters_compared(FolderKeeper(out), Budget(0.0) if no_filters else budget, quick=asked.quick)
    parts = stored(out)
    quick = " QUICK=1" if asked.quick else ""
    title = "Ways to forget, compared: the CRAGRU paper's tables and figures, redone"
    about = About(datetime.now(UTC), f"make bench-forgetting{quick}", machine(), title, tuple(notes(asked)))
    sections = [filter_section(gain), paper_section(parts), Section("Netflix", NETFLIX)]
    write(asked.out / "forgetting.md", about, parts, sections)
    left = sum(part.found["cells"]["left"] for part in parts) + (gain is None and not no_filters)
    failed = sum(len(part.found["failed"]) for part in parts)
    say(f"{asked.out / 'forgetting.md'}: {left} parts left, {failed} failed")
    if asked.page and not left:
        write(asked.page, about, parts, sections)
    sys.exit(75 if left else 1 if failed else 0)


if __name__ == "__main__":
    main()
