"""Options that every command shares, and opening the store they name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from db.store import Store

Root = Annotated[
    Path, typer.Option("--root", envvar="LETHE_ROOT", help="Folder where everything lives.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

ROOT = Path("lethe-root")


def open_store(root: Path, *, create: bool = False) -> "Store":
    """The store of a root: SQLite inside it, or the database that LETHE_DB names."""
    from db.store import Store  # brings SQLAlchemy, which `--help` must not wait for

    return Store.open(root, os.environ.get("LETHE_DB") or None, create=create)
