"""The catalogue as RecBole's atomic `.item` file holds it, read with the standard library alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from db.errors import LetheError
from db.records import Item, ItemId
from db.titles import articles_first

_COLUMNS = ("item_id", "movie_title", "release_year", "class")


def read_items(path: Path) -> tuple[Item, ...]:
    """The items of a RecBole `.item` file in file order; what is not a year or a genre reads as unknown."""
    if not path.is_file():
        raise LetheError(f"no item file at {path}: name a RecBole .item file")
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = [column.partition(":")[0] for column in header.split("\t")]
    missing = [column for column in _COLUMNS if column not in names]
    if missing:
        raise LetheError(f"{path.name} has no column {missing[0]}: expected {', '.join(_COLUMNS)}")
    places = [names.index(column) for column in _COLUMNS]
    return tuple(_items([line.split("\t")[place] for place in places] for line in lines if line.strip()))


def _items(rows: Iterable[list[str]]) -> Iterator[Item]:
    for item, title, year, genres in rows:
        known = tuple(genre for genre in genres.split() if genre != "unknown")
        yield Item(ItemId(item), articles_first(title), int(year) if year.isdigit() else None, known)
