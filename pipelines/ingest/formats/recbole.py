"""RecBole's atomic files: tab-separated, each column headed `name:type`."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from db.errors import LetheError
from db.titles import articles_first
from pipelines.ingest.columns import FILES, REQUIRED
from pipelines.ingest.dataset import Raw
from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import folder_files, read_text
from pipelines.ingest.table import Dialect, Table, header, rows
from pipelines.ingest.text import shown

_TYPES = frozenset({"token", "token_seq", "float", "float_seq"})
_DIALECT = Dialect(separator="\t")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "user_id": ("user_id",),
    "item_id": ("item_id",),
    "rating": ("rating",),
    "timestamp": ("timestamp",),
    "title": ("movie_title", "title", "name"),
    "year": ("release_year", "year"),
    "genres": ("class", "genre", "genres", "categories", "category"),
    "description": ("description",),
}
_NO_GENRE = ("unknown", "(no genres listed)")


def read(folder: Path, limits: Limits, rejects: Rejects, kind: str = "recbole") -> Raw:
    """The folder's one `.inter` file, and the `.item` and `.user` files of the same name.

    Of the `.user` file only ids are read: demographic columns serve no purpose here and are never kept. A year that is
    not four digits is unknown: RecBole's years are tokens, and its ml-100k holds "V" for one.
    """
    names = folder_files(folder)
    found = sorted(name for name in names if name.endswith(".inter"))
    if len(found) != 1:
        held = ", ".join(shown(name) for name in found[:4]) or "none"
        raise LetheError(f"{shown(folder)} must hold one .inter file, and holds {held}: give a folder with just one")
    stem = found[0].removesuffix(".inter")
    if f"{stem}.item" not in names:
        raise LetheError(f"{shown(folder)} has no {shown(stem + '.item')}: Lethe needs the items' titles")
    items = _atomic(folder / f"{stem}.item", "items", limits, rejects)
    return Raw(
        kind,
        interactions=_atomic(folder / found[0], "interactions", limits, rejects),
        items=Table(items.file, _plain_items(items.frame, limits)),
        users=_atomic(folder / f"{stem}.user", "users", limits, rejects) if f"{stem}.user" in names else None,
    )


def _atomic(path: Path, kind: str, limits: Limits, rejects: Rejects) -> Table:
    document = read_text(path, limits)
    typed = [column.rpartition(":") for column in header(document, _DIALECT)]
    for name, _, kind_of in typed:
        if not name or kind_of not in _TYPES:
            told = f"{shown(path.name)} has the column {shown(f'{name}:{kind_of}' if name else kind_of)}"
            raise LetheError(f"{told}: RecBole heads a column name:type, the type one of {', '.join(sorted(_TYPES))}")
    columns = [name for name, _, _ in typed]
    chosen: dict[str, str] = {}
    for field in FILES[kind]:
        column = next((name for name in _NAMES[field] if name in columns), None)
        if column is not None:
            chosen[column] = field
        elif field in REQUIRED:
            raise LetheError(
                f"{shown(path.name)} has no column {_NAMES[field][0]}: add it, or use `lethe ingest files`"
            )
    table = rows(document, _DIALECT, [chosen.get(column) for column in columns], rejects)
    sequences = {chosen[name] for name, _, kind_of in typed if name in chosen and kind_of == "token_seq"}
    return Table(table.file, _with_genre_lists(table.frame, "genres" in sequences))


def _with_genre_lists(frame: pl.DataFrame, several: bool) -> pl.DataFrame:
    if "genres" not in frame.columns:
        return frame
    genres = pl.col("genres").str.split(" ") if several else pl.concat_list("genres")
    return frame.with_columns(genres=genres.list.eval(pl.element().filter(~pl.element().is_in(_NO_GENRE))))


def _plain_items(frame: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    title = pl.col("title")
    short = pl.when(title.str.len_chars() <= limits.title_chars)
    frame = frame.with_columns(title=short.then(title.map_elements(articles_first, pl.String)).otherwise(title))
    if "year" not in frame.columns:
        return frame
    year = pl.col("year")
    return frame.with_columns(year=pl.when(year.str.contains(r"^\d{4}(\.0)?$")).then(year))
