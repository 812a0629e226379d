"""The Netflix Prize's files: ratings in blocks headed `MOVIEID:`, and `movie_titles` in latin-1 with commas in titles.

Either `combined_data_1.txt` to `combined_data_4.txt`, or one `mv_0000001.txt` a movie, in the folder or in its
`training_set`. There are no genres, and a time is the day alone.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from db.errors import LetheError
from pipelines.ingest.dataset import Raw
from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import Document, folder_files, read_text
from pipelines.ingest.table import LINE, Table
from pipelines.ingest.text import shown

_RATINGS = {
    "combined_data_*.txt": re.compile(r"combined_data_\d{1,4}\.txt"),
    "mv_*.txt": re.compile(r"mv_\d{1,10}\.txt"),
}
_TITLES = ("movie_titles.csv", "movie_titles.txt")
_INSIDE = "training_set"

_MOVIE = r"^(\d+):$"
_RATING = r"^([^,]*),([^,]*),([^,]*)$"
_TITLE = r"^([^,]*),([^,]*),(.*)$"
_NO_YEAR = "NULL"


def read(folder: Path, limits: Limits, rejects: Rejects) -> Raw:
    """Ratings of every file in the order of their numbers, and the titles with their years.

    A file is read when its rows are asked for, so that one at a time is in memory as text. Raises LetheError where
    both ways of packing are there, or neither.
    """
    names = folder_files(folder)
    titles = [name for name in _TITLES if name in names]
    if len(titles) != 1:
        held = " and ".join(titles) or "neither"
        raise LetheError(f"{shown(folder)} must hold one of {' and '.join(_TITLES)}, and holds {held}")
    parts = (_ratings(read_text(path, limits), rejects) for path in _rating_files(folder, names))
    items = _titles(read_text(folder / titles[0], limits, latin1=True), rejects)
    return Raw("netflix", next(parts), items, more=parts)


def _rating_files(folder: Path, names: frozenset[str]) -> Iterator[Path]:
    places = {folder: names}
    if _INSIDE in names and (folder / _INSIDE).is_dir():
        places[folder / _INSIDE] = folder_files(folder / _INSIDE)
    found = {
        (place, kind): [name for name in held if pattern.fullmatch(name)]
        for place, held in places.items()
        for kind, pattern in _RATINGS.items()
    }
    there = {key: held for key, held in found.items() if held}
    if len(there) != 1:
        told = " and ".join(kind if place == folder else f"{_INSIDE}/{kind}" for place, kind in there) or "neither"
        raise LetheError(
            f"{shown(folder)} must hold ratings of the Netflix Prize once, {' or '.join(_RATINGS)}, and holds {told}"
        )
    ((place, _), held) = there.popitem()
    yield from (place / name for name in sorted(held, key=lambda name: (int(re.sub(r"\D", "", name)), name)))


def _ratings(document: Document, rejects: Rejects) -> Table:
    """One file's ratings, each under the movie whose heading it follows."""
    name, lines = document.file.name, _lines(document)
    heads = lines.with_columns(item_id=pl.col("row").str.extract(_MOVIE).forward_fill())
    rows = heads.filter(~pl.col("row").str.contains(_MOVIE))
    orphans = rows.filter(pl.col("item_id").is_null())
    if orphans.height:
        _refuse(name, orphans, "stands before the first MOVIEID:", rejects)
    rows = rows.filter(pl.col("item_id").is_not_null())
    odd = rows.filter(~pl.col("row").str.contains(_RATING))
    if odd.height:
        _refuse(name, odd, "is neither MOVIEID: nor user,rating,date", rejects)
    fields = pl.col("row").str.extract_groups(_RATING)
    good = rows.filter(pl.col("row").str.contains(_RATING)).with_columns(fields)
    dated = good.select(
        LINE,
        pl.col("row").struct.field("1").alias("user_id"),
        "item_id",
        pl.col("row").struct.field("2").alias("rating"),
        pl.col("row").struct.field("3").alias("date"),
    )
    return Table(document.file, _timed(name, dated, rejects))


def _timed(name: str, rows: pl.DataFrame, rejects: Rejects) -> pl.DataFrame:
    """The date as unix seconds, in text as every format gives it."""
    written = pl.col("date").str.contains(r"^\d{4}-\d{2}-\d{2}$")
    day = pl.when(written).then(pl.col("date").str.to_date("%Y-%m-%d", strict=False))
    timed = rows.with_columns(timestamp=day.dt.epoch("s").cast(pl.String))
    odd = timed.filter(pl.col("timestamp").is_null())
    if odd.height:
        reason = pl.lit("is no day written YYYY-MM-DD")
        rejects.add(name, "date", odd.select(LINE, value="date", reason=reason))
    return timed.filter(pl.col("timestamp").is_not_null()).drop("date")


def _titles(document: Document, rejects: Rejects) -> Table:
    lines = _lines(document)
    odd = lines.filter(~pl.col("row").str.contains(_TITLE))
    if odd.height:
        _refuse(document.file.name, odd, "is not id,year,title", rejects)
    fields = lines.filter(pl.col("row").str.contains(_TITLE)).with_columns(pl.col("row").str.extract_groups(_TITLE))
    year = pl.col("row").struct.field("2")
    frame = fields.select(
        LINE,
        pl.col("row").struct.field("1").alias("item_id"),
        pl.col("row").struct.field("3").alias("title"),
        pl.when(year != _NO_YEAR).then(year).alias("year"),
    )
    return Table(document.file, frame)


def _lines(document: Document) -> pl.DataFrame:
    text = document.text.rstrip("\r\n")
    lines = pl.Series("row", [text]).str.split("\n").explode().str.strip_suffix("\r")
    return pl.DataFrame([lines]).with_row_index(LINE, offset=1)


def _refuse(name: str, rows: pl.DataFrame, reason: str, rejects: Rejects) -> None:
    rejects.add(name, "row", rows.select(LINE, value="row", reason=pl.lit(reason)))
