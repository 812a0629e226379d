"""What was found of each model, layer by layer, from finished parts alone."""

from dataclasses import asdict
from typing import Any

import polars as pl

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
        "models": models(kept),
    }


def models(kept: Kept) -> list[dict[str, Any]]:
    """What finished parts tell of each model."""
    return [_model(state, kept) for state in dict.fromkeys(spec.state for spec, _ in kept)]


def _model(state: str, kept: Kept) -> dict[str, Any]:
    own = [(spec.part, one.figures) for spec, one in kept if spec.state == state]
    overlap, maps = (next((found for part, found in own if part is wanted), {}) for wanted in (Part.OVERLAP, Part.MAPS))
    return {
        "model": state,
        "overlap": overlap.get("layers", []),
        "maps": maps.get("layers", []),
        "heads": maps.get("heads", []),
        "shared": maps.get("shared", {}),
        "directions": [found for part, found in own if part is Part.DIRECTIONS],
    }
