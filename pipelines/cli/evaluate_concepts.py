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
    from pipelines.evaluate_concepts.ranked import RealPeople

CONCEPTS = ("Casablanca", "Star Trek", "Film-Noir")
QUICK = ("Star Trek",)

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


def concepts(
    *,
    concept: Annotated[
        list[str] | None, typer.Option("--concept", help="A title, franchise or genre; may be repeated.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="LOSS-MASK, ssd, ablation, ...; may be repeated.")
    ] = None,
    neurons: Annotated[list[int] | None, typer.Option("--neurons", min=1, help="Sizes of masks; may repeat.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Fits of each method (3).")] = None,
    draws: Annotated[int | None, typer.Option("--draws", min=1, help="Fits where the mask is random (5).")] = None,
    oracle: Annotated[
        list[str] | None, typer.Option("--oracle", help="NAME=DIR: a checkpoint trained without concept NAME.")
    ] = None,
    attack: Annotated[
        list[str] | None, typer.Option("--attack", help="Methods to attack; some by default, none by `--attack none`.")
    ] = None,
    people: Annotated[int, typer.Option("--people", min=0, help="Order lists of so many real people too.")] = 0,
    model: Annotated[str, typer.Option("--model", help="lethe-tiny, a folder, or a Qwen checkpoint.")] = "lethe-tiny",
    draw: Annotated[int, typer.Option("--draw", min=0, help="Seed of what is asked.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One concept and seed, few questions, short fits.")] = False,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Begin no cell that would end later.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write Markdown with pictures beside it.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Compare ways to forget a concept inside the model, on held-out questions, attacks and depth.

    Every cell (concept, method, seed) is kept when it is finished; the same command run again goes on where it ended.
    Exit status 75: cells are left. Without an oracle nothing is made up: what would need one says so.

    \b
    Examples:
      lethe evaluate concepts --quick
      lethe evaluate concepts --concept "Star Trek" --oracle "Star Trek=forks/without-star-trek" --minutes 50
      lethe evaluate concepts --method refusal-guided --method refusal-random --neurons 64 --neurons 256 --draws 5
      lethe evaluate concepts --people 100 --page concepts.md
    """
    from llm.model import load
    from pipelines.evaluate.keep import StoreKeeper
    from pipelines.evaluate_concepts import run as harness
    from pipelines.evaluate_concepts.data import read
    from pipelines.evaluate_concepts.subject import SHORT, Sizes
    from pipelines.evaluate_concepts.summary import summarise
    from unlearning.concept.attacks.relearn import Budget

    store = open_store(root)
    stock = read(store)
    methods = tuple(method or (harness.QUICK_METHODS if quick else harness.METHODS))
    settings = harness.settings(quick=quick)
    grid = harness.Grid(
        tuple(concept or (QUICK if quick else CONCEPTS)),
        methods,
        tuple(neurons or (settings.neurons,)),
        seeds=seeds or (1 if quick else 3),
        draws=draws or (1 if quick else 5),
        attacked=tuple(name for name in attack or (methods[:1] if quick else harness.ATTACKED) if name != "none"),
        draw=draw,
        sizes=SHORT if quick else Sizes(),
        budget=Budget(steps=(1, 5)) if quick else Budget(),
        quick=quick,
    )
    lab = harness.Lab(
        load(model),
        stock.items,
        StoreKeeper(store, stock.epoch),
        progress,
        oracles=oracles_of(oracle or ()),
        popularity=stock.popularity,
        settings=settings,
        ranking=_ranking(store, people),
    )
    outcome = harness.run(lab, grid, minutes=minutes)
    found = plain(summarise(lab, grid, outcome))
    if page is not None:
        _write(page, found)
    emit(found, as_json=as_json, text=lambda: told(found))
    done = outcome.done
    if done.left or done.failed:
        say(f"{done.left} cells left, {len(done.failed)} failed; run the same command again")
        raise typer.Exit(75 if done.left else 1)


def oracles_of(given: Sequence[str]) -> dict[str, Path]:
    """NAME=DIR by name. Raises LetheError where it is not of that form or no folder is there."""
    found = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or not Path(folder).is_dir():
            raise LetheError(f"--oracle {text!r}: give NAME=DIR, with the folder of a checkpoint")
        found[name] = Path(folder)
    return found


def _ranking(store: "Store", people: int) -> "RealPeople | None":
    if not people:
        return None
    from pipelines.evaluate.data import read
    from pipelines.evaluate_concepts.ranked import Lists, RealPeople

    return RealPeople(read(store, "paper"), Lists(people=people))


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
    oracle = "no oracle" if one["oracle"] is None else f"oracle {one['oracle'][:12]}"
    head = f"{one['name']} ({one['kind']}, {len(one['titles'])} items; {oracle})"
    return head + "\n" + table(_HEADERS, [_row(row) for row in one["rows"]])


def _row(row: dict[str, Any]) -> Sequence[object]:
    measures = row["measures"]

    def value(name: str) -> str | None:
        found = measures.get(name)
        return None if found is None or found["value"] is None else f"{found['value']:.3f}"

    left = measures.get("direct accuracy")
    oracle = "" if left is None or left["oracle"] is None else f" ({left['oracle']:.3f})"
    depth = [one["score"] for one in row["depth"] if one["score"] is not None]
    return (
        row["label"],
        row["seeds"],
        (value("direct accuracy") or "") + oracle,
        value("forced_prefix accuracy"),
        value("exposure"),
        value("retain accuracy"),
        value("neighbour accuracy"),
        value("text surprise"),
        None if row["gates"] is None else f"{row['gates']['passed']} of {row['seeds']}",
        f"{sum(depth) / len(depth):.3f}" if depth else None,
        row["cost"]["fit_seconds"],
    )
