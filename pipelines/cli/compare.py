"""`lethe compare`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.drift import about
from pipelines.cli.evaluate_concepts import Concepts, Oracles, oracles_of
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, plain, progress, say, table
from unlearning.concept.settings import ADAPTER

if TYPE_CHECKING:
    from pipelines.compare.arms import Arm

Arms = Annotated[list[str] | None, typer.Option("--arm", help="May be repeated; all.")]
Surfaces = Annotated[list[str] | None, typer.Option("--surface", help="May be repeated; all.")]


def compare(
    *,
    concept: Concepts = None,
    arm: Arms = None,
    surface: Surfaces = None,
    oracle: Oracles = None,
    method: Annotated[str, typer.Option("--method", help="Of the adapter: LOSS-guided.")] = ADAPTER,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Of whatever is trained (3).")] = None,
    people: Annotated[int | None, typer.Option("--people", min=2, help="Whose lists are looked at (40).")] = None,
    weight: Annotated[float, typer.Option("--weight", min=0, max=1, help="The model's share in lists.")] = 0.3,
    backbone: Annotated[str, typer.Option("--backbone", help="ease, bpr or lightgcn.")] = "ease",
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Who asks to be forgotten: users-5 (5%), sequence-100, none, ...")
    ] = None,
    membership: Annotated[
        str | None, typer.Option("--membership", help="Attack people or planted canaries (many trainings).")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="paper (70/10/20), random (80/10/10) or temporal.")] = "paper",
    model: Annotated[str, typer.Option("--model", help="lethe-tiny, a folder, or a Qwen checkpoint.")] = "lethe-tiny",
    draw: Annotated[int, typer.Option("--draw", min=0, help="Seed of who and what is asked.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One concept and seed, few people, short fits.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Begin no cell that ends later.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write Markdown with pictures beside it.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Compare what each layer forgets, at every surface where the forgotten could come to light.

    Nine arms (none, a retrieval filter, an adapter, both, erasure at the backbone, a random-mask adapter, full LoRA, a
    prompt, the oracle) by surfaces in lists, candidates, histories, answers and the index: for concepts, forgotten for
    everybody and for one person, and for people who ask to be forgotten. Where a generative recommender is trained, a
    tenth (tokens: its ids are moved) with surfaces of its own; with --quick from what `evaluate tracer` kept. Every
    cell is kept when it is finished; the same command run again goes on where it ended. Exit status 75: cells are left.
    Without an oracle nothing is made up: what would need one says so.

    \b
    Examples:
      lethe compare --quick
      lethe compare --concept "Star Trek" --oracle "Star Trek=forks/without-star-trek" --minutes 50
      lethe compare --arm "retrieval filter" --arm adapter --surface "served list" --protocol none
      lethe compare --membership people --page comparison.md
    """
    from pipelines.compare import ids
    from pipelines.compare.lab import Given, prepared, rows_grid
    from pipelines.compare.people import tables
    from pipelines.compare.run import Wish, run
    from pipelines.compare.summary import summarise
    from pipelines.compare.surfaces import SURFACES
    from pipelines.compare.world import Lists
    from pipelines.concepts.plan import load_concept_plan
    from pipelines.evaluate.run import run as run_rows
    from pipelines.evaluate_concepts.grid import QUICK_SETTINGS, filled
    from pipelines.evaluate_concepts.grid import Wish as ConceptWish

    store, chosen = open_store(root), _chosen(arm or (), method)
    moves = ids.wanted(store, arm or ())
    count = seeds or (1 if quick else 3)
    wish = Wish(chosen, tuple(surface or SURFACES), count)
    settings = QUICK_SETTINGS if quick else load_concept_plan(root).settings
    grid = filled(ConceptWish(concept or (), (method,), draw=draw, quick=quick), settings.neurons)
    lists = Lists(people=people or (8 if quick else 40), weight=weight, seed=draw)
    given = Given(model, split, backbone, lists, oracles_of(oracle or ()), settings)
    asked = protocol or ("users-1" if quick else "users-5")
    rows = None if asked == "none" else rows_grid(chosen, backbone, asked, seeds=count, draw=draw, attack=membership)
    lab, people_lab = prepared(store, given, grid, progress)
    began = time.monotonic()
    outcome = run(lab, wish, minutes=minutes)
    evaluated = None if rows is None else run_rows(people_lab, rows, minutes=_left(began, minutes))
    data = [] if evaluated is None else tables(people_lab, evaluated, chosen)
    found = summarise(lab, outcome, chosen, data, evaluated.done if evaluated else None)
    if moves:
        own, rows_of = ids.grid_of(lab.grid.concepts, count), ids.lab_of(store, progress)
        found = ids.joined(found, ids.measure(rows_of, own, minutes=_left(began, minutes), short=quick), chosen)
    found = plain({**found, "tokens": moves or (None if arm else False)})
    _write(page, found)
    emit(found, as_json=as_json, text=lambda: told(found))
    _ended(found)


def _chosen(names: Sequence[str], method: str) -> "tuple[Arm, ...]":
    """The named arms that are measured here: what moves ids is measured elsewhere."""
    from pipelines.compare.arms import NONE, TOKENS, arms

    return arms([name for name in names if name != TOKENS.name] or [NONE][: len(names)], method=method)


def _left(began: float, minutes: float | None) -> float | None:
    """Of the minutes that a run may take."""
    return None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)


def _write(page: Path | None, found: dict[str, Any]) -> None:
    from pipelines.compare.page import write

    if page is not None:
        write(page, about("Which layer forgets what"), found)


def _ended(found: dict[str, Any]) -> None:
    left, failed = found["cells"]["left"], len(found["failed"])
    if left or failed:
        say(f"{left} cells left, {failed} failed; run the same command again")
        raise typer.Exit(75 if left else 1)


def told(found: dict[str, Any]) -> str:
    """The tables in words: surfaces by arms."""
    from pipelines.compare.page import without_tokens

    parts = [
        f"{found['model']['name']}, {found['backbone']}: {found['items']} items, {found['cells']['finished']} cells"
    ]
    for one in found["concepts"]:
        oracle = "no oracle" if one["oracle"] is None else f"oracle {one['oracle'][:12]}"
        head = f"{one['name']} ({one['kind']}, {len(one['titles'])} items; {one['people']} people; {oracle})"
        parts.append(f"{head}\n{_table(one['surfaces'])}")
    for one in found["data"]:
        head = f"{one['people']} people forgotten ({one['backbone']}, {one['protocol']})"
        parts.append(f"{head}\n{_table(one['surfaces'])}")
    parts += [f"failed: {one['cell']}: {one['error']}" for one in found["failed"]]
    parts += [without_tokens()] if found.get("tokens") is False else []
    return "\n\n".join([*parts, _LEGEND])


_LEGEND = (
    "value and how it ended, from the arm that forgot nothing to the oracle: gone (90% of the way), partly, left\n"
    "(10%); cannot tell: those two do not differ; of what must stay: kept (at most 0.02 less) or lost. --page has gaps."
)


def _table(surfaces: Sequence[dict[str, Any]]) -> str:
    from pipelines.compare.page import arms_of, named, short

    arms = arms_of(surfaces)
    lines = [(named(one), *(short(row) for row in one["rows"])) for one in surfaces]
    return table(("surface", *arms), lines)
