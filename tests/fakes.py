"""Small stand-ins that keep a protocol exactly and can be computed by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.popularity import Popularity
from recsys.topk import candidates_from


def item_ids(count: int) -> tuple[ItemId, ...]:
    """i0, i1, ..."""
    return tuple(ItemId(f"i{row}") for row in range(count))


def popularity(counts: Sequence[int]) -> Popularity:
    """A popularity ranking with the given counts."""
    return Popularity(item_ids(len(counts)), np.array(counts, dtype=np.int64))


class FakeDenseBackbone:
    """Scores an item by how often it followed: score(h, i) = sum of `weights[j, i]` over j in h."""

    name = "fake-dense"

    def __init__(self, weights: FloatArray) -> None:
        self.items = item_ids(len(weights))
        self.weights = weights

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        rows = [self.weights[history].sum(axis=0) for history in histories]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, len(self.items)), dtype=np.float32)

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        return candidates_from(self.scores, histories, exclude, k)

    def save(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.load(folder / "weights.npy"))


class FakeVectorBackbone:
    """Serves by item vectors; a person is the mean of the vectors in the history. Deterministic, nothing fitted."""

    name = "fake-vectors"

    def __init__(self, item_vectors: FloatArray) -> None:
        self.items = item_ids(len(item_vectors))
        self.item_vectors = item_vectors

    def user_vectors(self, histories: Sequence[IntArray]) -> FloatArray:
        out = np.zeros((len(histories), self.item_vectors.shape[1]), dtype=np.float32)
        for row, history in zip(out, histories, strict=True):
            if len(history):
                row[:] = self.item_vectors[history].mean(axis=0)
        return out

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        return self.user_vectors(histories) @ self.item_vectors.T

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        return candidates_from(self.scores, histories, exclude, k)

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self.item_vectors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.load(folder / "vectors.npy"))
