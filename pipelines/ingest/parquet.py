"""Parquet files: the wanted columns, checked for their types, as the same text columns that other files give."""

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from db.errors import LetheError
from pipelines.ingest.columns import Mapped, choose
from pipelines.ingest.limits import Limits
from pipelines.ingest.source import SourceFile, read_bytes
from pipelines.ingest.table import LINE, Table
from pipelines.ingest.text import shown

_BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError)
_MOMENTS = (pl.Datetime, pl.Date)
_EXPECTED = {
    "user_id": "text or whole numbers",
    "item_id": "text or whole numbers",
    "rating": "numbers",
    "timestamp": "unix seconds or datetimes",
    "title": "text",
    "year": "whole numbers",
    "genres": "lists of text, or text separated by |",
    "description": "text",
}


def read_parquet(path: Path, kind: str, mapping: Mapped, limits: Limits) -> Table:
    """The wanted columns of a Parquet file. Raises LetheError when it is damaged or a column has another type."""
    file, data = read_bytes(path, limits)
    schema, count = _facts(file, data)
    if count == 0:
        raise LetheError(f"{shown(file.name)} holds no rows: give a file with rows")
    if count > limits.rows:
        raise LetheError(f"{shown(file.name)} holds {count:,} rows, over the cap of {limits.rows:,}: raise the cap")
    chosen = choose(file.name, kind, list(schema), mapping)
    wanted = [_as_text(file, column, field, schema[column]) for column, field in chosen.items()]
    return Table(file, _frame(file, data, wanted, list(chosen)))


def _facts(file: SourceFile, data: bytes) -> tuple[pl.Schema, int]:
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
        return pl.Schema(schema), int(pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item())
    except _BROKEN as error:
        raise _damaged(file) from error


def _frame(file: SourceFile, data: bytes, wanted: Sequence[pl.Expr], columns: Sequence[str]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(data), columns=list(columns), use_pyarrow=False).select(wanted)
        return frame.with_row_index(LINE, offset=1)
    except _BROKEN as error:
        raise _damaged(file) from error


def _damaged(file: SourceFile) -> LetheError:
    return LetheError(f"{shown(file.name)} is not a whole Parquet file: it is damaged or cut off; write it again")


def _as_text(file: SourceFile, column: str, field: str, kind: pl.DataType) -> pl.Expr:
    value = pl.col(column)
    texts = isinstance(kind, (pl.String, pl.Categorical, pl.Enum, pl.Null))  # Null: a column that is empty throughout
    if field == "genres":
        if kind in (pl.List(pl.String), pl.List(pl.Null)):
            return value.cast(pl.List(pl.String)).alias(field)
        fits = texts
        value = value.cast(pl.String).str.split("|")
    elif field == "timestamp" and isinstance(kind, _MOMENTS):
        fits = True
        value = value.dt.epoch("s").cast(pl.String)
    elif field in ("rating", "timestamp", "year"):
        fits = kind.is_numeric() or texts
        value = value.cast(pl.String)
    else:
        fits = texts or (kind.is_integer() and field in ("user_id", "item_id"))
        value = value.cast(pl.String)
    if not fits:
        of = f"{shown(file.name)} column {shown(column)} is {shown(kind)}"
        raise LetheError(f"{of}: {field} must be {_EXPECTED[field]}")
    return value.alias(field)
