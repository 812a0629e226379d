"""`lethe compare`, from the cells that it kept: every way to forget at every surface, and how far each came."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from itertools import product
from math import isfinite, nan
from typing import Any

from db import catalogue
from db.records import Item
from pipelines.cli.output import plain
from pipelines.compare import page
from pipelines.compare.arms import ARMS, NONE, ORACLE, Arm, arms
from pipelines.compare.cells import ROWS, load
from pipelines.compare.run import Planned
from pipelines.compare.spec import Scope, Spec
from pipelines.compare.summary import table
from pipelines.compare.surfaces import SURFACES, Surface
from pipelines.report import figures
from pipelines.report.comparison import (
    Comparison,
    Found,
    about,
    command,
    counted,
    grouped,
    model_told,
    newest,
    repeated,
    span,
)
from pipelines.report.concepts import named
from pipelines.report.figures import Heat
from pipelines.report.kept import Cell, Shelf
from pipelines.report.markdown import rendered
from pipelines.report.markup import Html, join
from unlearning.concept.settings import ADAPTER

COMMAND = "lethe compare"

ABOUT = "about"
"""In the facts of a cell: what the run asked of whom."""


def comparisons(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    """One for each concept, base and way of making lists, the newest first."""
    with shelf.store.reading() as unit:
        items = tuple(catalogue.load_items(unit))
    for same in grouped(
        shelf.cells(COMMAND, ("compare-", ROWS), _spec), lambda one: (one.spec.concept, one.spec.subject)
    ):
        for cells in _runs(same):
            facts = _facts(shelf, cells)
            if facts is not None:
                yield _comparison(shelf, items, cells, facts, now=now)


def _spec(known: Mapping[str, Any]) -> Spec:
    return Spec(**{**known, "scope": Scope(known["scope"]), "arm": Arm(**known["arm"])})


def _runs(cells: Sequence[Cell[Spec]]) -> Iterator[list[Cell[Spec]]]:
    """Cells of one base and one way of making lists; those that read neither belong to every run."""
    models = [one.spec.model for one in cells if one.spec.model and not one.spec.arm.fork]
    lists = [one.spec.lists for one in cells if one.spec.lists]
    for model, made in product(_latest(models), _latest(lists)):
        own = [c for c in cells if c.spec.lists in ("", made) and (c.spec.arm.fork or c.spec.model in ("", model))]
        yield newest(own, lambda one: (one.spec.surface, one.spec.scope, one.spec.arm, one.spec.seed))


def _latest(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(reversed(values))) or [""]


def _facts(shelf: Shelf, cells: Sequence[Cell[Spec]]) -> Found | None:
    """What the newest cell that read lists says of its run."""
    for one in sorted(cells, key=lambda one: not one.spec.lists):
        kept = load(shelf.keeper, one.spec)
        if kept is not None and ABOUT in kept.facts:
            return dict(kept.facts[ABOUT])
    return None


def _comparison(
    shelf: Shelf, items: Sequence[Item], cells: Sequence[Cell[Spec]], facts: Found, *, now: datetime
) -> Comparison:
    name, (kind, ids) = named(items, cells[0].spec.concept)
    chosen, oracle = _arms(cells), next((one.spec.model for one in cells if one.spec.arm.fork), None)
    model = next((one.spec.model for one in cells if one.spec.model and not one.spec.arm.fork), "")
    one = {
        "name": name,
        "kind": kind,
        "titles": [item.title for item in items if item.id in ids],
        "oracle": oracle,
        "people": facts["people"],
        "asking": facts["asking"],
        "surfaces": [table(shelf.keeper, lines) for lines in _lines(cells, name, chosen)],
    }
    told = {"arms": [asdict(arm) for arm in chosen], "concepts": [one], "data": [], "failed": [], "items": len(items)}
    found: Found = plain({**facts, **told, "model": model_told(model), "cells": counted(cells)})
    typed = _command(facts, cells, chosen, name, oracle=oracle is not None)
    text, drawn = page.made(about("Layers", typed, cells[-1].machine, now), found, folder="drawn")
    pictures = {key: figures.picture(own) for key, own in drawn.items()}
    title = f"{name}: which layer forgets what" + (", a quick run" if facts["quick"] else "")
    body = join([*_map(found["concepts"][0]), rendered(text, pictures, deeper=3)])
    seed = f"draw {facts['lists']['seed']}, {span(one.spec.seed for one in cells)}"
    return Comparison(title, body, typed, seed, f"split {facts['split']['id']}", model, len(cells), facts["quick"])


def _arms(cells: Sequence[Cell[Spec]]) -> list[Arm]:
    """None, the oracle, and every arm with a cell that it shares with no arm before it."""
    method = next((c.spec.arm.method for c in reversed(cells) if c.spec.arm.method.endswith("-guided")), ADAPTER)
    every = {arm.name: arm for arm in arms(method=method)}
    there = {(one.spec.surface, one.spec.arm) for one in cells}
    chosen = [every[NONE]]
    for name in (name for name in ARMS if name not in (NONE, ORACLE)):
        seen = {s: every[name].read(surface.reads) for s, surface in SURFACES.items()}
        earlier = {s: {arm.read(surface.reads) for arm in chosen} for s, surface in SURFACES.items()}
        if any((s, arm) in there and arm not in earlier[s] for s, arm in seen.items()):
            chosen.append(every[name])
    return [*chosen, every[ORACLE]]


def _lines(cells: Sequence[Cell[Spec]], name: str, chosen: Sequence[Arm]) -> Iterator[list[Planned]]:
    """The lines of every table, in the order of the surfaces: one for each arm, whether it was measured or not."""
    for surface, scope in product(SURFACES.values(), Scope):
        own = [one.spec for one in cells if (one.spec.surface, one.spec.scope) == (surface.name, scope)]
        if own:
            yield [Planned(name, scope, surface, arm, _of_arm(own, surface, arm)) for arm in chosen]


def _of_arm(specs: Sequence[Spec], surface: Surface, arm: Arm) -> tuple[Spec, ...]:
    """The cells of an arm; none of an oracle that is not there, and else the one that would be measured first."""
    read = arm.read(surface.reads)
    found = tuple(sorted((spec for spec in specs if spec.arm == read), key=lambda spec: spec.seed))
    return found or (() if read.fork else (replace(specs[0], arm=read, seed=0),))


def _command(facts: Found, cells: Sequence[Cell[Spec]], chosen: Sequence[Arm], name: str, *, oracle: bool) -> str:
    method = next((arm.method for arm in chosen if arm.name == "adapter"), None)
    surfaces = {one.spec.surface for one in cells}
    return command(
        "compare",
        options=[
            ("concept", name),
            *repeated(
                "arm", () if len(chosen) == len(ARMS) else (a.name for a in chosen if a.name not in (NONE, ORACLE))
            ),
            *repeated("surface", () if surfaces >= SURFACES.keys() else (s for s in SURFACES if s in surfaces)),
            ("method", method),
            ("seeds", 1 + max(one.spec.seed for one in cells)),
            ("people", facts["lists"]["people"]),
            ("weight", facts["lists"]["weight"]),
            ("backbone", facts["backbone"]),
            ("protocol", "none"),
            ("split", facts["split"]["name"]),
            ("draw", facts["lists"]["seed"]),
            ("oracle", f"{name}=DIR" if oracle else None),
            ("quick", bool(facts["quick"])),
        ],
    )


def _map(one: Found) -> Iterator[Html]:
    """How far each arm came at each surface, where that can be told."""
    forgets = [table for table in one["surfaces"] if not table["kept"]]
    names = list(dict.fromkeys(row["arm"] for table in forgets for row in table["rows"]))
    ways = [{row["arm"]: row["forgotten"] for row in table["rows"]} for table in forgets]
    values = [[nan if way.get(name) is None else float(way[name]) for name in names] for way in ways]
    told = [(page.named(own), line) for own, line in zip(forgets, values, strict=True) if any(map(isfinite, line))]
    if told:
        title = f"{one['name']}: share of the way to the oracle (0: nothing forgotten, 1: as the oracle)"
        surfaces, shares = [name for name, _ in told], [line for _, line in told]
        yield figures.heat(Heat(title, surfaces, names, shares, "way", ends=(0.0, 1.0), written=True))
