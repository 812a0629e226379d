"""What a run leaves outside the root: a page, every answer as Parquet, and the summary as JSON."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from db import files, jobs
from db.errors import LetheError
from db.store import Store
from pipelines.evaluate.page import About

Write = Callable[[Path, About, Mapping[str, Any]], None]
"""Writes a page of what was found."""


def check(root: Path, out: Path) -> None:
    """Raises LetheError for a folder that cannot be written to, or lies where the root keeps its own."""
    if out.resolve().is_relative_to(root.resolve()):
        raise LetheError(f"--out {out} lies inside the root, which keeps the cells already: name a folder outside")
    if out.exists() and not out.is_dir():
        raise LetheError(f"--out {out} is a file: name a folder")


def put(out: Path, name: str, about: About, found: Mapping[str, Any], write: Write) -> None:
    """The summary `name`.json and the page `name`.md; nothing of one person is in them."""
    out.mkdir(parents=True, exist_ok=True)
    made = {**asdict(about), "when": about.when.isoformat(), "notes": list(about.notes)}
    files.write_json(out / f"{name}.json", {"made": made, **found})
    write(out / f"{name}.md", about, found)


def export(out: Path, name: str, store: Store, rows: pl.DataFrame, *, epoch: int) -> None:
    """`name`.parquet. It comes from people's rows: it is recorded as an export, beyond an erase's reach."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.parquet"
    files.write_atomic(path, rows.write_parquet)
    with store.writing() as unit:
        jobs.record_export(unit, str(path.resolve()), sha256=files.sha256(path), rows=rows.height, epoch=epoch)
        unit.commit()
