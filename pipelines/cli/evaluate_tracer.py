"""`lethe evaluate tracer`."""

import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, plain, progress, say, table
from pipelines.evaluate.words import interval, number


def tracer(
    *,
    concept: Annotated[
        list[str] | None, typer.Option("--concept", help="A genre or franchise; may be repeated.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="May be repeated; all by default.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Recommenders, each with an oracle (3).")] = None,
    people: Annotated[int | None, typer.Option("--people", min=1, help="How many are asked (1000).")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Of each recommender (20).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed and concept, few epochs and steps.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Begin no cell that ends later.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write Markdown with pictures beside it.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Compare ways to make the generative recommender forget a concept: TRACER, its ablations, and others.

    Recommenders are trained on every history but its last item, and asked for that. Every cell is kept when it is
    finished; the same command run again goes on where it ended. Exit status 75: cells are left.

    \b
    Examples:
      lethe evaluate tracer --quick
      lethe evaluate tracer --concept Film-Noir --method tracer --method npo --minutes 50 --page tracer.md
    """
    from pipelines.evaluate.keep import StoreKeeper
    from pipelines.evaluate_tracer.data import read
    from pipelines.evaluate_tracer.run import Grid, Lab, run
    from pipelines.evaluate_tracer.run import quick as shortened
    from pipelines.evaluate_tracer.summary import summarise

    usual = shortened(Grid()) if quick else Grid()
    grid = replace(
        usual,
        concepts=tuple(concept or usual.concepts),
        methods=tuple(method or usual.methods),
        seeds=seeds or usual.seeds,
        people=people or usual.people,
        model=replace(usual.model, epochs=epochs or usual.model.epochs),
    )
    rows = read(open_store(root), progress)
    lab = Lab(rows, StoreKeeper(open_store(root), rows.epoch), progress)
    outcome = run(lab, grid, minutes=minutes)
    found = plain(summarise(lab, grid, outcome))
    if page is not None:
        _write(page, found)
    emit(found, as_json=as_json, text=lambda: told(found))
    done = outcome.done
    if done.left or done.failed:
        say(f"{done.left} cells left, {len(done.failed)} failed; run the same command again")
        raise typer.Exit(75 if done.left else 1)


def _write(page: Path, found: dict[str, Any]) -> None:
    from pipelines.evaluate.page import About
    from pipelines.evaluate.run import machine
    from pipelines.evaluate_tracer.page import write

    command = shlex.join(["lethe", *sys.argv[1:]])
    write(page, About(datetime.now(UTC), command, machine(), "A concept forgotten by moving its ids"), found)


_HEADERS = ("method", "seeds", "exposure@10", "mass", "old ids", "NDCG@10 rest", "of before", "moved", "seconds")


def told(found: dict[str, Any]) -> str:
    """The tables in words: one for each concept."""
    parts = [f"{found['people']} people, {found['items']} items; NDCG@10 of popularity {found['popularity']:.4f}"]
    parts += [_table(one) for one in found["concepts"]]
    parts += [f"failed: {one['cell']}: {one['error']}" for one in found["failed"]]
    return "\n\n".join(parts)


def _table(one: dict[str, Any]) -> str:
    return f"{one['name']} ({len(one['titles'])} items)\n" + table(_HEADERS, [_row(row) for row in one["rows"]])


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    shown = (interval(row["measures"][name]) for name in ("exposure", "mass", "old mass"))
    figures = row["figures"]
    kept = (interval(row["ndcg"]), interval(row["of_before"]))
    return row["method"], row["seeds"], *shown, *kept, number(figures["moved"], 2), number(figures["seconds"], 0)
