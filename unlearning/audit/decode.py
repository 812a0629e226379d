"""Decoders of every file format the product writes: what names a person in it, and what text it holds."""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

PERSON_COLUMNS = frozenset({"user", "user_id", "users", "subject"})
"""Names under which a person's id is written, in every format."""

_SQLITE = b"SQLite format 3\0"


class UnreadableError(Exception):
    """A file is not what its name says."""


def decode(path: Path) -> list[str] | None:
    """Every id of kind person in the file, as text; None when no decoder understands it.

    Raises UnreadableError for a file that is not what its name says.
    """
    decoder = _DECODERS.get(_kind(path))
    try:
        return None if decoder is None else list(decoder(path))
    except (ValueError, sqlite3.Error, csv.Error) as error:
        raise UnreadableError(str(error)) from error


def _kind(path: Path) -> str:
    name = path.name
    if name.endswith(("-wal", "-shm", "-journal")):
        return "sqlite-side"
    if path.suffix == ".tmp":
        return "unknown"
    if path.suffix in _DECODERS:
        return path.suffix
    with path.open("rb") as file:  # a database may have any name: LETHE_DB gives it
        return ".db" if file.read(len(_SQLITE)) == _SQLITE else path.suffix or name


def _sqlite(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for column in sorted(PERSON_COLUMNS.intersection(columns)):
                kind = connection.execute(f'SELECT "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\'')
                yield from (str(row[0]) for row in kind)


def _parquet(path: Path) -> Iterator[str]:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise UnreadableError(str(error)) from error
    for column in sorted(PERSON_COLUMNS.intersection(frame.columns)):
        yield from frame[column].cast(pl.String).drop_nulls().to_list()


def _json(path: Path) -> Iterator[str]:
    yield from _people(json.loads(path.read_text(encoding="utf-8")))


def _json_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield from _people(json.loads(line))


def _people(value: Any, *, named: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _people(inner, named=named or key in PERSON_COLUMNS)
    elif isinstance(value, list):
        for inner in value:
            yield from _people(inner, named=named)
    elif named and value is not None:
        yield str(value)


def _csv(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield from (value for key, value in row.items() if key in PERSON_COLUMNS and value)


def _nothing(_: Path) -> Iterator[str]:
    return iter(())


def _safetensors(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), path.stat().st_size)))
    yield from _people(header.get("__metadata__", {}) if isinstance(header, dict) else {})


_DECODERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".db": _sqlite,
    "sqlite-side": _nothing,  # pages of the database: read through it, and searched byte by byte
    ".parquet": _parquet,
    ".json": _json,
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".safetensors": _safetensors,
    ".faiss": _nothing,  # vectors of items; the id map is another file
    ".npy": _nothing,
    ".npz": _nothing,
    ".html": _nothing,
    ".md": _nothing,
    ".toml": _nothing,
    ".key": _nothing,
    ".lock": _nothing,
}
