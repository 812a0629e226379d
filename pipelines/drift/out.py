"""What a run leaves outside the root: a page, every answer as Parquet, and the summary as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from db import files, jobs
from db.errors import LetheError
from db.store import Store
from pipelines.drift.page import write
from pipelines.evaluate.page import About

PAGE, ROWS, SUMMARY = "drift.md", "drift.parquet", "drift.json"


def check(root: Path, out: Path) -> None:
    """Raises LetheError for a folder that cannot be written to, or lies where the root keeps its own."""
    if out.resolve().is_relative_to(root.resolve()):
        raise LetheError(f"--out {out} lies inside the root, which keeps the cells already: name a folder outside")
    if out.exists() and not out.is_dir():
        raise LetheError(f"--out {out} is a file: name a folder")


def put(out: Path, store: Store, about: About, found: Mapping[str, Any], rows: pl.DataFrame, *, epoch: int) -> None:
    """Write all three. The Parquet comes from people's rows: it is recorded as an export, beyond an erase's reach."""
    out.mkdir(parents=True, exist_ok=True)
    files.write_atomic(out / ROWS, rows.write_parquet)
    with store.writing() as unit:
        path = str((out / ROWS).resolve())
        jobs.record_export(unit, path, sha256=files.sha256(out / ROWS), rows=rows.height, epoch=epoch)
        unit.commit()
    made = {**asdict(about), "when": about.when.isoformat(), "notes": list(about.notes)}
    files.write_json(out / SUMMARY, {"made": made, **found})
    write(out / PAGE, about, found)
