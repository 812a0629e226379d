"""A cell on disk: one row a question or person as Parquet, and beside it what determined it, as JSON.

Rows tell people by their place among those drawn, never by an id.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from db import files
from pipelines.compare.spec import Spec
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate_concepts.cells import frame, samples
from unlearning.concept.cells import Sample

ROWS, CELL = "rows.parquet", "cell.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished cell as it is read back."""

    sample: Sample
    facts: dict[str, Any]
    """Seconds of the measuring, and of the fit behind it where there is one."""


def keep(
    keeper: Keeper, spec: Spec, found: Sample, facts: Mapping[str, Any], *, run: str, machine: Mapping[str, Any]
) -> None:
    """Put a finished cell in place in one step."""
    document = {"spec": asdict(spec), "key": spec.key, "run": run, "machine": dict(machine), "facts": dict(facts)}

    def _write(folder: Path) -> None:
        frame({spec.surface: found}, {}).write_parquet(folder / ROWS)
        files.write_json(folder / CELL, document)

    keeper.keep(spec.name, _write, {"concept": spec.concept, "key": spec.key})


def load(keeper: Keeper, spec: Spec) -> Kept | None:
    """The cell of a spec; None where it is not kept."""
    folder = keeper.find(spec.name)
    if folder is None:
        return None
    rows = pl.read_parquet(folder / ROWS)
    document = json.loads((folder / CELL).read_text(encoding="utf-8"))
    return Kept(samples(rows)[spec.surface], document["facts"])
