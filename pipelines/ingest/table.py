"""Separated text as rows of text columns, each with its line number. No type is ever guessed."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from db.errors import LetheError
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import Document, SourceFile
from pipelines.ingest.text import shown

LINE = "line"

_COLUMNS = 1_000


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file: the column `line` (UInt32, from 1; for Parquet the row) and text columns, `genres` a list."""

    file: SourceFile
    frame: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file separates its fields, whether quotes may enclose them (RFC 4180), and if a header comes first."""

    separator: str
    quoted: bool = False
    header: bool = True


def header(document: Document, dialect: Dialect) -> tuple[str, ...]:
    """The column names on the first line. Raises LetheError when one comes twice."""
    first, _, rest = document.text.partition("\n")
    names = first.removesuffix("\r").split(dialect.separator)
    if dialect.quoted and '"' in first:
        _, names = next(_records(document, dialect.separator))
    if not rest.strip("\r\n"):
        raise LetheError(f"{shown(document.file.name)} holds a single line: give a header and rows")
    if len(names) > _COLUMNS:
        raise LetheError(f"{shown(document.file.name)} has {len(names):,} columns: leave out all but {_COLUMNS:,}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LetheError(f"{shown(document.file.name)} has the column {shown(twice)} twice: rename one")
    return tuple(names)


def rows(document: Document, dialect: Dialect, fields: Sequence[str | None], rejects: Rejects) -> Table:
    """The rows as text columns named by `fields`, one for each column of the file; None leaves a column out.

    Rows with another number of fields go to `rejects` and are left out.
    """
    if dialect.quoted and '"' in document.text:
        frame = _quoted(document, dialect, fields, rejects)
    else:
        frame = _plain(document, dialect, fields, rejects)
    return Table(document.file, frame)


def _plain(document: Document, dialect: Dialect, fields: Sequence[str | None], rejects: Rejects) -> pl.DataFrame:
    text = document.text.rstrip("\r\n")
    lines = pl.Series("row", [text]).str.split("\n").explode()
    if "\r" in text:
        lines = lines.str.strip_suffix("\r")
    frame = pl.DataFrame([lines]).with_row_index(LINE, offset=1).slice(1 if dialect.header else 0)
    counts = frame["row"].str.count_matches(dialect.separator, literal=True) + 1
    ragged = counts != len(fields)
    if ragged.any():
        _reject_ragged(document, frame.with_columns(count=counts).filter(ragged), len(fields), rejects)
        frame = frame.filter(~ragged)
    split = pl.col("row").str.split_exact(dialect.separator, len(fields) - 1)
    wanted = [
        pl.col("row").struct.field(f"field_{place}").alias(field)
        for place, field in enumerate(fields)
        if field is not None
    ]
    return frame.with_columns(split).select(LINE, *wanted)


def _quoted(document: Document, dialect: Dialect, fields: Sequence[str | None], rejects: Rejects) -> pl.DataFrame:
    lines: list[int] = []
    cells: list[str] = []
    ragged: list[tuple[int, str, int]] = []
    records = _records(document, dialect.separator)
    if dialect.header:
        next(records)
    for line, record in records:
        if len(record) == len(fields):
            lines.append(line)
            cells += record
        else:
            ragged.append((line, dialect.separator.join(record), len(record)))
    if ragged:
        schema = {LINE: pl.UInt32, "row": pl.String, "count": pl.UInt32}
        _reject_ragged(document, pl.DataFrame(ragged, schema=schema, orient="row"), len(fields), rejects)
    columns = {field: cells[at :: len(fields)] for at, field in enumerate(fields) if field is not None}
    return pl.DataFrame({LINE: lines, **columns}, schema={LINE: pl.UInt32, **dict.fromkeys(columns, pl.String)})


def _records(document: Document, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records of quoted text with the line each begins on."""
    text = document.text.rstrip("\r\n")
    reader = csv.reader((line + "\n" for line in text.split("\n")), delimiter=separator, strict=True)
    begins = 1
    try:
        for record in reader:
            yield begins, record or [""]
            begins = reader.line_num + 1
    except csv.Error as error:
        where = f"{shown(document.file.name)} line {begins}"
        raise LetheError(f"{where} has a quoting mistake ({error}): double the quotes inside a field") from error


def _reject_ragged(document: Document, ragged: pl.DataFrame, expected: int, rejects: Rejects) -> None:
    count = pl.col("count").cast(pl.String)
    reason = pl.concat_str(pl.lit("has "), count, pl.lit(f" fields where {expected} are expected"))
    rejects.add(document.file.name, "row", ragged.select(LINE, value="row", reason=reason))
