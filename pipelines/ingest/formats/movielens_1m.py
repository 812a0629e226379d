"""ml-1m and ml-10m as GroupLens ships them: `ratings.dat` and `movies.dat`, latin-1, fields parted by `::`."""

from pathlib import Path

import polars as pl

from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import read_text
from pipelines.ingest.table import Dialect, Table, rows

_DIALECT = Dialect("::", header=False)
NO_GENRES = "(no genres listed)"


def read(folder: Path, limits: Limits, rejects: Rejects) -> tuple[Table, Table]:
    """Interactions and items."""
    ratings = read_text(folder / "ratings.dat", limits)
    movies = read_text(folder / "movies.dat", limits, latin1=True)
    interactions = rows(ratings, _DIALECT, ("user_id", "item_id", "rating", "timestamp"), rejects)
    items = rows(movies, _DIALECT, ("item_id", "title", "genres"), rejects)
    listed = items.frame.with_columns(pl.col("genres").str.split("|"))
    return interactions, Table(items.file, without_placeholder(listed))


def without_placeholder(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists of genres without MovieLens's words for none."""
    named = pl.element().filter(pl.element() != NO_GENRES)
    return frame.with_columns(pl.col("genres").list.eval(named))
