"""A cell on disk: one row a request and instance as Parquet, and beside it what determined it, as JSON.

Rows tell people by their place among those drawn, never by an id. Scores are in the retrieval's order, whatever order
the candidates were shown in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from db import files
from pipelines.drift.instances import Instance
from pipelines.drift.requests import Request
from pipelines.drift.spec import Spec
from pipelines.evaluate.keep import Keeper

ROWS, CELL = "rows.parquet", "cell.json"

SCHEMA: Mapping[str, Any] = {
    "person": pl.Int64,
    "request": pl.Int64,
    "kind": pl.String,
    "instance": pl.String,
    "usable": pl.Boolean,
    "scores": pl.List(pl.Float32),
    "answer": pl.String,
    "similarity": pl.Float64,
}


def rows(instance: Instance, requests: Sequence[Request], columns: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """One row a request; columns that are not given hold nothing."""
    every: dict[str, Sequence[object]] = {name: [None] * len(requests) for name in SCHEMA}
    every |= {
        "person": [one.person for one in requests],
        "request": [one.number for one in requests],
        "kind": [instance.kind.value] * len(requests),
        "instance": [instance.name] * len(requests),
    }
    return pl.DataFrame({**every, **columns}, schema=SCHEMA)


def keep(keeper: Keeper, spec: Spec, measured: pl.DataFrame, *, run: str, machine: Mapping[str, Any]) -> None:
    """Put a finished cell in place in one step."""
    document = {"spec": asdict(spec), "key": spec.key, "run": run, "machine": dict(machine)}

    def _write(folder: Path) -> None:
        measured.write_parquet(folder / ROWS)
        files.write_json(folder / CELL, document)

    keeper.keep(spec.name, _write, {"split": spec.split, "key": spec.key})


def load(keeper: Keeper, spec: Spec) -> pl.DataFrame | None:
    """The rows of a finished cell; None where it is not kept."""
    folder = keeper.find(spec.name)
    return None if folder is None else pl.read_parquet(folder / ROWS)
