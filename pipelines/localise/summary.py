"""What was found of each model, layer by layer, from finished parts alone."""

from dataclasses import asdict
from typing import Any

import polars as pl

from pipelines.drift.figures import by_person, intervals
from pipelines.drift.run import Lab
from pipelines.localise import cells
from pipelines.localise.cells import Found
from pipelines.localise.run import Outcome, Wish
from pipelines.localise.spec import Part, Spec

Kept = list[tuple[Spec, Found]]


def read(lab: Lab, outcome: Outcome) -> Kept:
    """Every finished part."""
    found = [(spec, cells.load(lab.keeper, spec)) for spec in outcome.specs]
    return [(spec, one) for spec, one in found if one is not None]


def frame(kept: Kept, part: Part) -> pl.DataFrame:
    """The rows of a part on every model."""
    rows = [one.rows.select(pl.lit(spec.state).alias("model"), pl.all()) for spec, one in kept if spec.part is part]
    return pl.concat(rows, how="diagonal") if rows else pl.DataFrame()


def summarise(lab: Lab, wish: Wish, outcome: Outcome, kept: Kept) -> dict[str, Any]:
    """Everything that a run found, as one JSON document."""
    done = outcome.done
    return {
        "model": {"name": lab.model.name, "fingerprint": lab.model.fingerprint},
        "data": {"split": lab.split, **asdict(lab.asking)},
        "adapters": dict(lab.adapters),
        "seed": wish.seed,
        "neurons": wish.neurons,
        "wordings": list(wish.wordings),
        "quick": wish.quick,
        "cells": {"finished": done.measured + done.skipped, "measured_now": done.measured, "left": done.left},
        "failed": [{"cell": name, "error": error} for name, error in done.failed],
        "models": models(kept, seed=wish.seed),
    }


def models(kept: Kept, *, seed: int = 0) -> list[dict[str, Any]]:
    """What finished parts tell of each model."""
    return [_model(state, kept, seed) for state in dict.fromkeys(spec.state for spec, _ in kept)]


def _model(state: str, kept: Kept, seed: int) -> dict[str, Any]:
    own = [(spec.part, one) for spec, one in kept if spec.state == state]
    overlap, maps = (
        next((found for part, found in own if part is wanted), None) for wanted in (Part.OVERLAP, Part.MAPS)
    )
    lists, drawn = overlap.figures if overlap else {}, maps.figures if maps else {}
    return {
        "model": state,
        "tau": _agreement(overlap.rows, seed) if overlap else None,
        "overlap": lists.get("layers", []),
        "maps": drawn.get("layers", []),
        "heads": drawn.get("heads", []),
        "shared": drawn.get("shared", {}),
        "directions": [found.figures for part, found in own if part is Part.DIRECTIONS],
    }


def _agreement(rows: pl.DataFrame, seed: int) -> dict[str, float] | None:
    """Kendall's tau of lists in other words with those as served, with its interval over people."""
    own = rows.filter(pl.col("layer") == rows["layer"].min())
    return intervals([by_person(own, "tau", rows["person"].n_unique())], seed)[0]
