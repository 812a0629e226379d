"""A person's own files: CSV (RFC 4180, UTF-8), TSV (never quoted) or Parquet, with a header."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from db.errors import LetheError
from pipelines.ingest.columns import Mapped, choose
from pipelines.ingest.limits import Limits
from pipelines.ingest.parquet import read_parquet
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import read_text
from pipelines.ingest.table import Dialect, Table, header, rows
from pipelines.ingest.text import shown

_DIALECTS: Mapping[str, Dialect] = {
    ".csv": Dialect(",", quoted=True),
    ".tsv": Dialect("\t"),
    ".tab": Dialect("\t"),
}
_PARQUET = (".parquet", ".pq")


def read_table(path: Path, kind: str, mapping: Mapped, limits: Limits, rejects: Rejects) -> Table:
    """One file of the given kind ("interactions", "items", "users"); genres are parted by pipes.

    Columns without a meaning here are not read into memory. Raises LetheError for a suffix of no known format.
    """
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return read_parquet(path, kind, mapping, limits)
    if suffix not in _DIALECTS:
        known = ", ".join((*_DIALECTS, *_PARQUET))
        raise LetheError(f"{shown(path.name)} has no known suffix: give one of {known}, unpacked")
    document, dialect = read_text(path, limits), _DIALECTS[suffix]
    columns = header(document, dialect)
    chosen = choose(document.file.name, kind, columns, mapping)
    table = rows(document, dialect, [chosen.get(column) for column in columns], rejects)
    if "genres" not in table.frame.columns:
        return table
    return Table(table.file, table.frame.with_columns(pl.col("genres").str.split("|")))
