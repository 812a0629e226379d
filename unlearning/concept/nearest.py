"""The neighbours of a concept by vectors of its items' text."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.records import Item, ItemId
from unlearning.concept.base import Concept
from unlearning.concept.controls import outside

Vectors = Mapping[ItemId, NDArray[np.floating]]
"""One vector an item, of one length; text embeddings, say."""


def nearest(concept: Concept, catalogue: Sequence[Item], vectors: Vectors, count: int) -> tuple[Item, ...]:
    """The items outside a concept whose vectors have the largest cosine with any of its items', nearest first."""
    rest = outside(concept, catalogue)
    missing = next((item.id for item in (*concept.items, *rest) if item.id not in vectors), None)
    if missing is not None:
        raise LetheError(f"item {missing!r} has no vector: give vectors of the whole catalogue, or none")
    mine, theirs = (_unit(np.stack([vectors[item.id] for item in part])) for part in (concept.items, rest))
    order = np.argsort(-(theirs @ mine.T).max(1), kind="stable")
    return tuple(rest[row] for row in order[:count])


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1)
    return units
