"""The tables: one for each concept, one row a method, from finished cells alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from pipelines.evaluate.bootstrap import Resampling
from pipelines.evaluate_tracer.cells import Kept, load
from pipelines.evaluate_tracer.run import Grid, Lab, Outcome
from pipelines.evaluate_tracer.spec import BASE, ORACLE
from recsys.heldout import served
from recsys.metrics import Interval
from recsys.popularity import PopularityFitter

MEASURES = ("exposure", "free exposure", "mass", "free mass", "old mass")
"""Of the concept."""

KEPT = 0.97
"""Of NDCG@10 on other items, what a method must keep."""

RESAMPLED = 0
"""Seed of the intervals."""


def summarise(lab: Lab, grid: Grid, outcome: Outcome) -> dict[str, Any]:
    """Everything that a run found, as one JSON document."""
    done, rows = outcome.done, lab.rows
    popular = served(PopularityFitter().fit(rows.log), rows.questions, 10).means()
    return {
        "rows": rows.id,
        "people": min(grid.people, len(rows.questions.people)),
        "items": len(rows.items),
        "interactions": len(rows.log),
        "quick": grid.quick,
        "popularity": popular["ndcg@10"],
        "cells": {"finished": done.measured + done.skipped, "measured_now": done.measured, "left": done.left},
        "failed": [{"cell": name, "error": error} for name, error in done.failed],
        "concepts": [_concept(lab, name, [*_kept(lab, outcome, name)]) for name in grid.concepts],
    }


def _kept(lab: Lab, outcome: Outcome, name: str) -> list[Kept]:
    found = [(lab.keeper.find(spec.name), spec) for spec in outcome.specs[name]]
    return [load(folder, spec) for folder, spec in found if folder is not None]


def _concept(lab: Lab, name: str, kept: Sequence[Kept]) -> dict[str, Any]:
    items = kept[0].spec.items if kept else ()
    return {"name": name, "titles": [lab.rows.items[row].title for row in items], "rows": of_cells(kept)}


def of_cells(kept: Sequence[Kept]) -> list[dict[str, Any]]:
    """One row a method: seeds are averaged person by person, intervals are over people."""
    methods = list(dict.fromkeys(cell.spec.method for cell in kept))
    rows = [row(method, *(_of(kept, who) for who in (method, BASE))) for method in methods]
    theirs = next((one for one in rows if one["method"] == ORACLE), None)
    return [{**one, **_judged(one, theirs)} for one in rows]


def row(method: str, own: Sequence[Kept], base: Sequence[Kept]) -> dict[str, Any]:
    """The figures of one method, beside those of the recommender that forgot nothing with the same seeds."""
    people = pooled(own)
    rest = people.filter(pl.col("of") != "concept")
    seeds = {cell.spec.seed for cell in own}
    before = pooled([cell for cell in base if cell.spec.seed in seeds])
    values = [cell.facts for cell in own]
    return {
        "method": method,
        "seeds": len(own),
        "measures": {name: _interval(people, name) for name in MEASURES},
        "ndcg": _interval(rest, "ndcg"),
        "recall": _interval(rest, "recall"),
        "near": _interval(people.filter(pl.col("of") == "near"), "ndcg"),
        "of_before": _ratio(rest, before.filter(pl.col("of") != "concept")) if len(before) else None,
        "figures": {name: _mean(values, name) for name in _FIGURES},
        "relearned": _curve(values),
    }


_FIGURES = (
    "moved",
    "moved_codes",
    "entangled_before",
    "entangled_after",
    "collisions_before",
    "collisions_after",
    "seconds",
)


def pooled(cells: Sequence[Kept]) -> pl.DataFrame:
    """Every person's mean over seeds, in the order of persons."""
    if not cells:
        return pl.DataFrame()
    together = pl.concat([cell.rows for cell in cells])
    return together.group_by("person", "of").agg(pl.exclude("person", "of").mean()).sort("person")


def _of(kept: Sequence[Kept], method: str) -> list[Kept]:
    return [cell for cell in kept if cell.spec.method == method]


def _interval(people: pl.DataFrame, column: str) -> dict[str, float] | None:
    if not len(people):
        return None
    values = people[column].to_numpy().astype(np.float64)[:, None]
    return _plain(Resampling(len(values), seed=RESAMPLED).intervals(values)[0])


def _ratio(own: pl.DataFrame, before: pl.DataFrame) -> dict[str, float] | None:
    """NDCG@10 over that of the recommender that forgot nothing, of the same people."""
    if len(own) != len(before) or not len(own):
        return None
    resampling = Resampling(len(own), seed=RESAMPLED)
    return _plain(resampling.compared(own["ndcg"].to_numpy(), before["ndcg"].to_numpy())[1])


def _plain(found: Interval) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(found).items()}


def _mean(values: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [value[name] for value in values if name in value]
    return float(np.mean(known)) if known else None


def _curve(values: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    curves = [value["relearned"] for value in values]
    return [[float(points[0][0]), float(np.mean([mass for _, mass in points]))] for points in zip(*curves, strict=True)]


def _judged(one: Mapping[str, Any], oracle: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whether exposure is no higher than the oracle's interval, and enough is kept of everything else."""
    ratio = one["of_before"]
    limit = None if oracle is None else oracle["measures"]["exposure"]["high"]
    return {
        "forgotten": None if limit is None else bool(one["measures"]["exposure"]["mean"] <= limit),
        "kept": None if ratio is None else bool(ratio["mean"] >= KEPT),
    }
