"""ml-100k as GroupLens ships it: `u.data` (tabs) and `u.item` (latin-1, pipes, nineteen genre flags)."""

from pathlib import Path

import polars as pl

from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import read_text
from pipelines.ingest.table import LINE, Dialect, Table, rows

GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""In the order of the flags, after the first, which means "unknown": no genre."""

_INTERACTIONS = ("user_id", "item_id", "rating", "timestamp")
_ITEMS = ("item_id", "title", None, None, None, "unknown", *GENRES)


def read(folder: Path, limits: Limits, rejects: Rejects) -> tuple[Table, Table]:
    """Interactions and items. Release dates and links are not read: the year stands in the title."""
    ratings = read_text(folder / "u.data", limits)
    movies = read_text(folder / "u.item", limits, latin1=True)
    interactions = rows(ratings, Dialect("\t", header=False), _INTERACTIONS, rejects)
    items = rows(movies, Dialect("|", header=False), _ITEMS, rejects)
    return interactions, Table(items.file, _with_genres(items, rejects))


def _with_genres(table: Table, rejects: Rejects) -> pl.DataFrame:
    flags = ("unknown", *GENRES)
    odd = table.frame.select(pl.any_horizontal(~pl.col(flag).is_in(["0", "1"]) for flag in flags)).to_series()
    if odd.any():
        marks = pl.concat_str(flags, separator="|")
        reason = pl.lit("has a genre flag that is neither 0 nor 1")
        rejects.add(table.file.name, "genres", table.frame.filter(odd).select(LINE, value=marks, reason=reason))
    named = pl.concat_list([pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES]).list.drop_nulls()
    return table.frame.select(LINE, "item_id", "title", genres=named).filter(~odd)
