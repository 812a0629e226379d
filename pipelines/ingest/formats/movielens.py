"""MovieLens folders as GroupLens ships them: three generations of files, told apart by their names.

Of the people only ids are read, from the ratings; the demographic files are not opened.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from db.errors import LetheError
from db.titles import Title, split_title
from pipelines.ingest.dataset import Raw
from pipelines.ingest.formats import movielens_1m, movielens_100k, movielens_csv
from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import folder_files
from pipelines.ingest.table import Table
from pipelines.ingest.text import cleaned, shown

Reader = Callable[[Path, Limits, Rejects], tuple[Table, Table]]
"""Gives interactions and items; titles still carry their year."""

_GENERATIONS: Mapping[tuple[str, str], Reader] = {
    ("u.data", "u.item"): movielens_100k.read,
    ("ratings.dat", "movies.dat"): movielens_1m.read,
    ("ratings.csv", "movies.csv"): movielens_csv.read,
}


def read(folder: Path, limits: Limits, rejects: Rejects) -> Raw:
    """The folder's ratings and movies, with the year taken out of the titles and articles put in front."""
    names = folder_files(folder)
    pairs = [pair for pair in _GENERATIONS if names.intersection(pair)]
    if len(pairs) != 1:
        held = "none" if not pairs else " and ".join("/".join(pair) for pair in pairs)
        expected = ", ".join(" with ".join(pair) for pair in _GENERATIONS)
        raise LetheError(f"{shown(folder)} must hold one MovieLens data set, and holds {held}: expected {expected}")
    missing = sorted(set(pairs[0]) - names)
    if missing:
        raise LetheError(f"{shown(folder)} has no {shown(missing[0])}: copy it from the same MovieLens archive")
    interactions, items = _GENERATIONS[pairs[0]](folder, limits, rejects)
    return Raw("movielens", interactions, Table(items.file, _titled(items.frame, limits)))


def _titled(frame: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    written = frame.select(cleaned(pl.col("title"))).to_series()
    # A title over the cap is left for the checks to refuse: no pattern is matched against text of any length.
    titles = [split_title(text) if len(text) <= limits.title_chars else Title(text, None) for text in written]
    return frame.with_columns(
        title=pl.Series([title.name for title in titles], dtype=pl.String),
        year=pl.Series([None if title.year is None else str(title.year) for title in titles], dtype=pl.String),
    )
