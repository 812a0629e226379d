"""Residual k-means: each level clusters what the levels before it left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from recsys.semantic_ids.tokenizer import Floats, Tokenizer, normalised, squared_distances


@dataclass(frozen=True, slots=True)
class ResidualKMeans:
    """Fits a `Tokenizer` by k-means++ and Lloyd's iterations, level by level."""

    levels: int = 3
    width: int = 32
    """Codes of a level."""
    rounds: int = 50

    def fit(self, vectors: NDArray[np.floating], *, seed: int) -> Tokenizer:
        """Codebooks for text vectors [items, d]; equal arguments give equal bits on one machine."""
        if min(self.levels, self.width, self.rounds) < 1:
            raise LetheError(f"{self} fits nothing: levels, codes and rounds must be at least 1")
        latents, mean, scale = normalised(vectors)
        rng, left, books = np.random.default_rng(seed), latents, []
        for _ in range(self.levels):
            book = clustered(left, self.width, rng, self.rounds)
            left = left - book[squared_distances(left, book).argmin(axis=1)]
            books.append(book)
        return Tokenizer(latents, np.stack(books), mean, scale)


def clustered(points: Floats, width: int, rng: np.random.Generator, rounds: int) -> Floats:
    """Centres [width, d] of k-means over points [n, d]; a cluster that empties keeps its centre."""
    centres = _spread(points, width, rng)
    for _ in range(rounds):
        own = _nearest(points, centres)
        there, counts = np.unique(own, return_counts=True)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, points)
        moved = centres.copy()
        moved[there] = sums[there] / counts[:, None]
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _nearest(points: Floats, centres: Floats) -> NDArray[np.int64]:
    """The nearest centre by products, good enough on the way: codes are given by `squared_distances` alone."""
    return np.asarray((np.square(centres).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1), dtype=np.int64)


def _spread(points: Floats, width: int, rng: np.random.Generator) -> Floats:
    """k-means++ (Arthur and Vassilvitskii 2007): each next centre is a point drawn by its squared distance."""
    chosen = [int(rng.integers(len(points)))]
    gap = squared_distances(points, points[chosen])[:, 0]
    while len(chosen) < width:
        total = gap.sum()
        draw = int(rng.choice(len(points), p=gap / total)) if total > 0 else int(rng.integers(len(points)))
        chosen.append(draw)
        gap = np.minimum(gap, squared_distances(points, points[[draw]])[:, 0])
    return points[chosen].copy()
