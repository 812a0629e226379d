"""What an evaluation of concepts reads of a store: the catalogue, and how often each item was met."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from db import catalogue
from db.errors import LetheError
from db.load import load_log
from db.records import Item, ItemId
from db.store import Store
from pipelines.concepts.near import text_vectors
from unlearning.concept.nearest import Vectors


@dataclass(frozen=True, slots=True)
class Stock:
    """The catalogue in row order, popularity as counts of visible interactions, and vectors of the items' texts."""

    epoch: int
    items: tuple[Item, ...]
    popularity: Mapping[ItemId, float]
    vectors: Vectors


def read(store: Store) -> Stock:
    """The store as it stands. Raises LetheError where nothing is known of its items but ids."""
    with store.reading() as unit:
        epoch, items, log = catalogue.epoch(unit), tuple(catalogue.load_items(unit)), load_log(unit)
    if not any(item.title and (item.year is not None or item.genres) for item in items):
        raise LetheError("no item has a title with a year or a genre; ingest item metadata: there is nothing to ask")
    counts = np.bincount(log.item, minlength=len(log.items))
    popularity = {ItemId(item): float(count) for item, count in zip(log.items, counts, strict=True)}
    return Stock(epoch, items, popularity, text_vectors(store, items))
