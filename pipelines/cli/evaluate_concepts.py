"""`lethe evaluate concepts`."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.errors import LetheError
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, plain, progress, say, table

if TYPE_CHECKING:
    from db.store import Store
    from pipelines.evaluate_concepts.run import Lab

_HEADERS = (
    "method",
    "seeds",
    "left",
    "begun",
    "lists",
    "retain",
    "neighbours",
    "language",
    "gates",
    "depth",
    "seconds",
)


Concepts = Annotated[list[str] | None, typer.Option("--concept", help="A title, franchise or genre; may be repeated.")]
Methods = Annotated[list[str] | None, typer.Option("--method", help="LOSS-MASK, ssd, ablation, ...; may be repeated.")]
Neurons = Annotated[list[int] | None, typer.Option("--neurons", min=1, help="Sizes of masks; may be repeated.")]
Oracles = Annotated[
    list[str] | None, typer.Option("--oracle", help="NAME=DIR: a checkpoint without concept NAME; may be repeated.")
]
Replicates = Annotated[
    list[Path] | None,
    typer.Option(
        "--replicate", exists=True, file_okay=False, help="The model, trained again on everything; may be repeated."
    ),
]
Attacks = Annotated[
    list[str] | None, typer.Option("--attack", help="Methods to attack; some by default, with `none` none.")
]


def concepts(
    *,
    concept: Concepts = None,
    method: Methods = None,
    neurons: Neurons = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Fits of each method (3).")] = None,
    draws: Annotated[int | None, typer.Option("--draws", min=1, help="Fits where the mask is random (5).")] = None,
    oracle: Oracles = None,
    replicate: Replicates = None,
    attack: Attacks = None,
    people: Annotated[int, typer.Option("--people", min=0, help="Order lists of so many real people too.")] = 0,
    model: Annotated[str, typer.Option("--model", help="lethe-tiny, a folder, or a Qwen checkpoint.")] = "lethe-tiny",
    draw: Annotated[int, typer.Option("--draw", min=0, help="Seed of what is asked.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One concept and seed, few questions, short fits.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Begin no cell that ends later.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write Markdown with pictures beside it.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Compare ways to forget a concept inside the model, on held-out questions, attacks and depth.

    Every cell (concept, method, seed) is kept when it is finished; the same command run again goes on where it ended.
    Exit status 75: cells are left. Without an oracle nothing is made up: what would need one says so. With several of
    one concept the targets allow for how far these are apart; replicates show how far training again moves a figure:
    where the oracles differ from them no more than trainings do, it tells nothing of the concept.

    \b
    Examples:
      lethe evaluate concepts --quick
      lethe evaluate concepts --concept "Star Trek" --oracle "Star Trek=forks/without-star-trek" --minutes 50
      lethe evaluate concepts --method npo-guided --method npo-random --neurons 64 --neurons 512 --draws 5
      lethe evaluate concepts --people 100 --page concepts.md
    """
    from pipelines.concepts.plan import load_concept_plan
    from pipelines.evaluate_concepts.grid import QUICK_SETTINGS, Wish, filled
    from pipelines.evaluate_concepts.run import run
    from pipelines.evaluate_concepts.summary import summarise

    forks = oracles_of(oracle or ())
    wish = Wish(concept or (), method or (), neurons or (), attack or (), seeds, draws, draw, quick)
    settings = QUICK_SETTINGS if quick else load_concept_plan(root).settings
    grid = filled(wish, settings.neurons)
    lab = _lab(open_store(root), model, people)
    lab.oracles, lab.replicates, lab.settings = forks, tuple(replicate or ()), settings
    outcome = run(lab, grid, minutes=minutes)
    found = plain(summarise(lab, grid, outcome))
    if page is not None:
        _write(page, found)
    emit(found, as_json=as_json, text=lambda: told(found))
    done = outcome.done
    if done.left or done.failed:
        say(f"{done.left} cells left, {len(done.failed)} failed; run the same command again")
        raise typer.Exit(75 if done.left else 1)


def oracles_of(given: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The folders of each NAME in NAME=DIR. Raises LetheError where it is not of that form or no folder is there."""
    found: dict[str, tuple[Path, ...]] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or not Path(folder).is_dir():
            raise LetheError(f"--oracle {text!r}: give NAME=DIR, with the folder of a checkpoint")
        found[name] = (*found.get(name, ()), Path(folder))
    return found


def _lab(store: "Store", model: str, people: int) -> "Lab":
    from llm.model import load
    from pipelines.evaluate.data import read as read_split
    from pipelines.evaluate.keep import StoreKeeper
    from pipelines.evaluate_concepts.data import read
    from pipelines.evaluate_concepts.ranked import Lists, RealPeople
    from pipelines.evaluate_concepts.run import Lab

    stock = read(store)
    return Lab(
        load(model),
        stock.items,
        StoreKeeper(store, stock.epoch),
        progress,
        popularity=stock.popularity,
        vectors=stock.vectors,
        ranking=RealPeople(read_split(store, "paper"), Lists(people=people)) if people else None,
    )


def _write(page: Path, found: dict[str, Any]) -> None:
    from pipelines.evaluate.page import About
    from pipelines.evaluate.run import machine
    from pipelines.evaluate_concepts.page import write

    command = shlex.join(["lethe", *sys.argv[1:]])
    write(page, About(datetime.now(UTC), command, machine(), "Concepts forgotten inside the model"), found)


def told(found: dict[str, Any]) -> str:
    """The tables in words: one for each concept."""
    parts = [f"{found['model']['name']}: {found['items']} items, {found['cells']['finished']} cells"]
    parts += [_table(one) for one in found["concepts"]]
    parts += [f"failed: {one['cell']}: {one['error']}" for one in found["failed"]]
    return "\n\n".join([*parts, _LEGEND])


_LEGEND = (
    "left: share of held-out questions on the concept still answered (oracle's in brackets); begun: of answers begun.\n"
    "lists: slots of lists that concept items take; retain, near: answers kept, elsewhere and near the concept;\n"
    "language: surprise at running text; gates: seeds that could be registered; depth: 0 the base, 1 the oracle."
)


def _table(one: dict[str, Any]) -> str:
    known = ", ".join(oracle[:12] for oracle in one["oracles"])
    oracle = f"oracle{'s'[: len(one['oracles']) > 1]} {known}" if known else "no oracle"
    head = f"{one['name']} ({one['kind']}, {len(one['titles'])} items; {oracle})"
    return head + "\n" + table(_HEADERS, [_row(row) for row in one["rows"]])


def _row(row: dict[str, Any]) -> Sequence[object]:
    left = row["measures"].get("direct accuracy")
    oracle = "" if left is None or left["oracle"] is None else f" ({left['oracle']:.3f})"
    depth = [one["score"] for one in row["depth"] if one["score"] is not None]
    shown = ("forced_prefix accuracy", "exposure", "retain accuracy", "neighbour accuracy", "text surprise")
    return (
        row["label"],
        row["seeds"],
        (_value(row, "direct accuracy") or "") + oracle,
        *(_value(row, name) for name in shown),
        None if row["gates"] is None else f"{row['gates']['passed']} of {row['seeds']}",
        f"{sum(depth) / len(depth):.3f}" if depth else None,
        row["cost"]["fit_seconds"],
    )


def _value(row: dict[str, Any], name: str) -> str | None:
    found = row["measures"].get(name)
    return None if found is None or found["value"] is None else f"{found['value']:.3f}"
