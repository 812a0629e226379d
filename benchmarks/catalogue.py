"""Titles and genres of ml-100k, in the row order of a log."""

import importlib.util
from pathlib import Path

from db.errors import LetheError
from db.records import Item, ItemId


def installed() -> Path:
    """The folder of ml-100k that RecBole carries. Raises LetheError where RecBole is not installed."""
    spec = importlib.util.find_spec("recbole")
    if spec is None or spec.origin is None:
        raise LetheError("recbole, which carries ml-100k, is not installed: run make setup")
    return Path(spec.origin).parent / "dataset_example" / "ml-100k"


def ml100k_items(ids: tuple[ItemId, ...]) -> list[Item]:
    """The items of ml-100k as installed with RecBole, one for each id."""
    path = installed() / "ml-100k.item"
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        key, title, year, genres = line.split("\t")
        found[key] = Item(ItemId(key), title, int(year) if year.isdigit() else None, tuple(genres.split()))
    return [found[item] for item in ids]
