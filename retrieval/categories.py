"""The categories that filters share a history out by: the items' genres, or clusters of their texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.records import Item
from recsys.candidates import FloatArray, IntArray

UNKNOWN = "(no genre)"
"""The category of items without a genre in a catalogue that has genres."""

CLUSTERS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Categories:
    """Which items belong to which categories: `weight` float64 [items, categories], each row sums to 1.

    An item of n categories belongs to each by 1/n.
    """

    names: tuple[str, ...]
    weight: Floats

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.weight.shape[1] != len(self.names):
            raise LetheError(f"weights of shape {self.weight.shape} do not fit {len(self.names)} categories")
        if not np.allclose(self.weight.sum(axis=1), 1):
            raise LetheError("an item's category weights do not sum to 1; build the categories again")

    def __len__(self) -> int:
        return len(self.names)

    def counts(self, history: IntArray) -> Floats:
        """|D_uc|: rows of the history in each category, float64 [categories]; they sum to the history's length."""
        total: Floats = self.weight[history].sum(axis=0)
        return total


def from_genres(items: Sequence[Item]) -> Categories:
    """One category for each genre in alphabetical order, and one for items that have none."""
    genres = [tuple(dict.fromkeys(item.genres)) or (UNKNOWN,) for item in items]
    names = tuple(sorted({name for own in genres for name in own}))
    column = {name: place for place, name in enumerate(names)}
    weight = np.zeros((len(items), len(names)))
    for row, own in enumerate(genres):
        weight[row, [column[name] for name in own]] = 1 / len(own)
    return Categories(names, weight)


def from_texts(embeddings: FloatArray, *, seed: int, count: int = CLUSTERS) -> Categories:
    """k-means clusters of text embeddings, float32 [items, d]; each item belongs to its nearest centroid alone."""
    count = max(1, min(count, len(embeddings) // 2))
    means = faiss.Kmeans(
        embeddings.shape[1], count, niter=25, seed=seed, min_points_per_centroid=1, max_points_per_centroid=1 << 20
    )
    means.train(np.ascontiguousarray(embeddings, dtype=np.float32))
    _, nearest = means.index.search(np.ascontiguousarray(embeddings, dtype=np.float32), 1)
    weight = np.zeros((len(embeddings), count))
    weight[np.arange(len(embeddings)), nearest[:, 0]] = 1.0
    return Categories(tuple(f"cluster {number}" for number in range(count)), weight)


def categories_of(items: Sequence[Item], embeddings: FloatArray, *, seed: int) -> Categories:
    """The genres of the catalogue; where no item has one, clusters of the texts."""
    if any(item.genres for item in items):
        return from_genres(items)
    return from_texts(embeddings, seed=seed)
