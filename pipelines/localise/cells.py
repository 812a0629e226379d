"""A part on disk: its figures as JSON, its maps or overlaps as Parquet, people told by their place."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from db import files
from pipelines.evaluate.keep import Keeper
from pipelines.localise.spec import Spec

ROWS, CELL = "rows.parquet", "cell.json"


@dataclass(frozen=True, slots=True)
class Found:
    """What a part leaves: figures, and rows where there are any."""

    figures: Mapping[str, Any]
    rows: pl.DataFrame


def keep(keeper: Keeper, spec: Spec, found: Found, *, run: str, machine: Mapping[str, Any]) -> None:
    """Put a finished part in place in one step."""
    facts = {"spec": asdict(spec), "key": spec.key, "run": run, "machine": dict(machine)}

    def _write(folder: Path) -> None:
        found.rows.write_parquet(folder / ROWS)
        files.write_json(folder / CELL, {**facts, "figures": dict(found.figures)})

    keeper.keep(spec.name, _write, {"split": spec.split, "key": spec.key})


def load(keeper: Keeper, spec: Spec) -> Found | None:
    """What `keep` wrote; None where it is not kept."""
    folder = keeper.find(spec.name)
    if folder is None:
        return None
    document = json.loads((folder / CELL).read_text(encoding="utf-8"))
    return Found(document["figures"], pl.read_parquet(folder / ROWS))
