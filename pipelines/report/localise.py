"""`lethe localise`, from the parts that it kept: the tables of its own page, and maps by layer, neuron and head."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from db.errors import LetheError
from pipelines.cli.output import plain
from pipelines.evaluate_concepts.charts import Chart, Point, Series
from pipelines.localise import cells, page
from pipelines.localise.asked import SERVED_NAME, WORDINGS
from pipelines.localise.cells import ROWS
from pipelines.localise.run import concept_of
from pipelines.localise.spec import Part, Spec
from pipelines.localise.summary import Kept, models
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
from pipelines.report.drift import FEWEST
from pipelines.report.figures import Heat
from pipelines.report.kept import Cell, Shelf
from pipelines.report.markdown import rendered
from pipelines.report.markup import Html, join

COMMAND = "lethe localise"

BINS = 128
"""Columns of a map at most: where a layer has more neurons, each column shows the highest of its neighbours."""

MEASURES = {"saliency": "saliency", "fisher": "Fisher", "gradient": "gradient norm", "sensitivity": "sensitivity"}


def comparisons(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    """One for each split, model, set of requests and seed, the newest first."""
    kept = shelf.cells(COMMAND, ("localise-", ROWS), lambda d: Spec(**{**d, "part": Part(d["part"])}))
    for same in grouped(kept, lambda one: (one.spec.split, one.spec.model, str(one.spec.asking), _seed(one))):
        parts = newest(same, lambda one: (one.spec.part, one.spec.state, concept_of(one.spec)))
        yield _comparison(shelf, parts, now)


def _seed(one: Cell[Spec]) -> int:
    return int(one.spec.settings["seed"])


def _comparison(shelf: Shelf, parts: Sequence[Cell[Spec]], now: datetime) -> Comparison:
    first, kept = parts[0].spec, _read(shelf, parts)
    found: Found = plain(_found(parts, kept))
    typed = _command(shelf, parts)
    told, drawn = page.made(about("Where words matter", typed, parts[-1].machine, now), found, folder="drawn")
    pictures = {name: figures.picture(one) for name, one in drawn.items()}
    people = first.asking["people"]
    title = f"Where in the model words matter, {people} people" + (", a quick look" if people < FEWEST else "")
    body = join([*_maps(kept), *_shares(found), *_angles(found), rendered(told, pictures, deeper=3)])
    seed, split = f"seed {_seed(parts[0])}", f"split {first.split}"
    return Comparison(title, body, typed, seed, split, first.model, len(parts), people < FEWEST)


def _read(shelf: Shelf, parts: Sequence[Cell[Spec]]) -> Kept:
    found = []
    for part in parts:
        one = cells.load(shelf.keeper, part.spec)
        if one is None:
            raise LetheError(f"{part.folder} went while the report was made: run the same command again")
        found.append((part.spec, one))
    return found


def _found(parts: Sequence[Cell[Spec]], kept: Kept) -> Found:
    """As `lethe localise` tells it."""
    first = parts[0].spec
    return {
        "model": model_told(first.model),
        "data": {"split": first.split, **first.asking},
        "seed": _seed(parts[0]),
        "wordings": _wordings(kept),
        "quick": first.asking["people"] < FEWEST,
        "cells": counted(parts),
        "failed": [],
        "models": models(kept),
    }


def _wordings(kept: Kept) -> list[str]:
    """As served, and those that overlaps were measured in."""
    told = [one.rows["wording"].unique().to_list() for spec, one in kept if spec.part is Part.OVERLAP]
    return [SERVED_NAME, *told[0]] if told else list(WORDINGS)


def _command(shelf: Shelf, parts: Sequence[Cell[Spec]]) -> str:
    first = parts[0].spec
    neurons = next((one.spec.settings["neurons"] for one in parts if "neurons" in one.spec.settings), None)
    return command(
        "localise",
        options=[
            ("users", first.asking["people"]),
            ("requests", first.asking["requests"]),
            ("candidates", first.asking["candidates"]),
            *repeated("concept", (concept_of(one.spec) for one in parts if one.spec.about)),
            ("neurons", neurons),
            ("split", shelf.split_name(first.split)),
            ("seed", _seed(parts[0])),
        ],
    )


def _maps(kept: Kept) -> Iterator[Html]:
    """Saliency of every neuron, layer by layer, on every model."""
    for spec, one in kept:
        if spec.part is Part.MAPS:
            yield figures.heat(neurons(one.rows, spec.state))


def neurons(rows: pl.DataFrame, state: str, measure: str = "saliency") -> Heat:
    """Layers by neurons; the highest of neighbours shares a column where there are more than `BINS`."""
    own = rows.filter(pl.col("kind") == "neuron").sort("layer", "place")
    values = np.stack([part[measure].to_numpy() for part in own.partition_by("layer", maintain_order=True)])
    parts = np.array_split(np.arange(values.shape[1]), min(BINS, values.shape[1]))
    table = np.stack([values[:, part].max(axis=1) for part in parts], axis=1)
    columns = [f"{part[0]}" if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    layers = [f"layer {number}" for number in range(len(table))]
    title = f"{state}: {MEASURES[measure]} of {values.shape[1]} neurons a layer"
    title += "" if len(parts) == values.shape[1] else ", the highest of each column's"
    return Heat(title, layers, columns, table.tolist(), MEASURES[measure], across="neuron")


def _shares(found: Found) -> Iterator[Html]:
    """Each layer's share of every map, on every model."""
    for one in found["models"]:
        if one["maps"]:
            rows = [f"layer {row['layer']}" for row in one["maps"]]
            values = [[row[f"{name}_share"] for name in MEASURES] for row in one["maps"]]
            title = f"{one['model']}: share of each layer in what decides"
            yield figures.heat(Heat(title, rows, list(MEASURES.values()), values, "share", ends=(0, 1), written=True))


def _angles(found: Found) -> Iterator[Html]:
    """Between gradients of forgetting and of keeping, by layer, with what halves of one set have."""
    series = []
    for one in found["models"]:
        for told in one["directions"]:
            name = f"{told['concept']}, {one['model']}"
            apart = [Point(row["layer"], row["forget_retain"], 0.0, row["deviation"]) for row in told["layers"]]
            series.append(Series(name, apart, joined=True))
            halves = [Point(row["layer"], row["same"]) for row in told["layers"]]
            series.append(Series(f"{name}: halves of its own", halves, joined=True))
    if series:
        title = "Angle between the gradients of forgetting and of keeping, by layer (90°: unrelated)"
        yield figures.chart(Chart(title, "layer", "degrees", series, (False, False)))
