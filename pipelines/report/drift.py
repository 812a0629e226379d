"""`lethe drift`, from the cells that it kept: the tables of its own page, and maps of agreement by perturbation."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import nan

from pipelines.cli.output import plain
from pipelines.drift import page
from pipelines.drift.cells import ROWS
from pipelines.drift.instances import PERTURBED, Kind
from pipelines.drift.spec import SCORERS, Spec
from pipelines.drift.summary import Over, P, kept_rows, tables
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
)
from pipelines.report.figures import Heat
from pipelines.report.kept import Cell, Shelf
from pipelines.report.markdown import rendered
from pipelines.report.markup import Html, join

COMMAND = "lethe drift"

DRAWN = (Kind.ORDER, Kind.TYPOS, Kind.SYNONYMS, Kind.WORDS)
"""Perturbations of which as many instances are made as are asked for."""

FEWEST = 20
"""People of whom drift is to be told; fewer are a quick look."""


Kept = Cell[Spec]


def comparisons(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    """One for each split, model and set of requests, the newest first."""
    for same in grouped(_kept(shelf), lambda one: (one.spec.split, one.spec.model, str(one.spec.asking))):
        specs = newest(same, lambda one: (one.spec.scorer, one.spec.state, one.spec.kind))
        yield _comparison(shelf, specs, now)


def _kept(shelf: Shelf) -> Iterator[Kept]:
    return shelf.cells(COMMAND, ("drift-", ROWS), lambda d: Spec(**{**d, "kind": Kind(d["kind"])}))


def _comparison(shelf: Shelf, kept: Sequence[Kept], now: datetime) -> Comparison:
    specs, first = [one.spec for one in kept], kept[0].spec
    scorers = [name for name in SCORERS if any(spec.scorer == name for spec in specs)]
    found: Found = plain(_found(shelf, specs, scorers))
    typed = _command(shelf, found, scorers)
    told, drawn = page.made(about("Drift", typed, kept[-1].machine, now), found, folder="drawn")
    pictures = {name: figures.picture(one) for name, one in drawn.items()}
    people = first.asking["people"]
    title = f"Drift under other words, {people} people" + (", a quick look" if people < FEWEST else "")
    body = join([*maps(found), rendered(told, pictures, deeper=3)])
    seed = f"seed {first.asking['seed']}"
    return Comparison(title, body, typed, seed, f"split {first.split}", first.model, len(specs), people < FEWEST)


def _found(shelf: Shelf, specs: Sequence[Spec], scorers: Sequence[str]) -> Found:
    """As `lethe drift` tells it."""
    asking, split, model = specs[0].asking, specs[0].split, specs[0].model
    rows = kept_rows(shelf.keeper, scorers, specs)
    return {
        "model": model_told(model),
        "data": {"split": split, **asking},
        "adapters": {spec.concept: spec.adapter for spec in specs if spec.concept is not None},
        "seed": asking["seed"],
        "p": P,
        "weight": 1.0,
        "quick": asking["people"] < FEWEST,
        "cells": counted(specs),
        "failed": [],
        "tables": tables(scorers, rows, Over(asking["people"], asking["seed"], P)),
    }


def _command(shelf: Shelf, found: Found, scorers: Sequence[str]) -> str:
    asking = found["data"]
    return command(
        "drift",
        options=[
            *repeated("scorer", scorers),
            ("users", asking["people"]),
            ("requests", asking["requests"]),
            ("candidates", asking["candidates"]),
            ("split", shelf.split_name(asking["split"])),
            ("unseen", bool(asking["unseen"])),
            ("draws", _draws(found)),
            ("seed", asking["seed"]),
        ],
    )


def _draws(found: Found) -> int | None:
    """Of orders, typos and the like, as their cells hold them; None where there are none."""
    rows = [row for table in found["tables"] for one in table["models"] for row in one["rows"]]
    return max((row["instances"] for row in rows if row["kind"] in DRAWN), default=None)


def maps(found: Found) -> Iterator[Html]:
    """Agreement with what is served: perturbations by scorer and model, one map for each measure."""
    chief = {table["measures"][0] for table in found["tables"]}
    for measure in sorted(chief, reverse=True):
        columns = [
            (f"{table['scorer']}, {one['model']}", {row["kind"]: row[measure] for row in one["rows"]})
            for table in found["tables"]
            if table["measures"][0] == measure
            for one in table["models"]
        ]
        kinds = [kind.value for kind in PERTURBED if any(kind.value in rows for _, rows in columns)]
        values = [[_mean(rows.get(kind)) for _, rows in columns] for kind in kinds]
        title = f"Drift: {page.NAMES[measure]} to what is served, by perturbation (1: nothing moved)"
        if kinds:
            names = [name for name, _ in columns]
            yield figures.heat(Heat(title, kinds, names, values, page.NAMES[measure], ends=(0.0, 1.0), written=True))


def _mean(found: Mapping[str, float] | None) -> float:
    return nan if found is None else float(found["mean"])
