"""`lethe report`: reads the store and what it keeps, and writes the page whole or not at all."""

from datetime import datetime
from pathlib import Path

from db import files
from db.errors import LetheError
from db.store import Store
from pipelines.report import comparisons, kept
from pipelines.report.page import document
from pipelines.report.state import look


def report(store: Store, out: Path, *, now: datetime, command: str) -> Path:
    """Write the page of a store. Nothing is measured, and nothing of the store is changed.

    Raises LetheError where the page cannot be written to `out`.
    """
    check(store.root, out)
    shelf = kept.read(store)
    kinds = comparisons.every(shelf, now)
    text = document(look(store, now), shelf, kinds, now=now, command=command)
    files.write_atomic(out, lambda place: place.write_text(text, encoding="utf-8"))
    return out


def check(root: Path, out: Path) -> None:
    """Refuse, before anything is read, a page that could not be written, or that an erase would have to reach."""
    if out.resolve().is_relative_to(root.resolve()):
        raise LetheError(f"--out {out} lies inside the root, which erases rewrite: name a file outside")
    if out.is_dir():
        raise LetheError(f"--out {out} is a folder: name a file")
    if not out.parent.is_dir():
        raise LetheError(f"{out.parent} is no folder: make it, or name another --out")
