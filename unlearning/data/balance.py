"""Clusters of bounded size: the balanced assignment, balanced k-means over people, and the same over interactions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys.candidates import IntArray

ROUNDS = 20
"""Rounds of assigning and moving the centres, unless nothing moves earlier."""

Floats = NDArray[np.float64]


def assign(distance: Floats, capacity: int) -> IntArray:
    """A cluster for each row of `distance` [n, clusters], none with more than `capacity` rows, int64 [n].

    The outcome is that of going through all pairs from the nearest to the farthest and giving each open row to its
    cluster unless that is full (Chen et al. 2022, GraphEraser, algorithm 2). Distances rank rows and clusters alike, so
    it is also the one stable matching, which needs no sort of all pairs: open rows propose, full clusters turn the
    farthest away. Among equal distances the earlier row comes first.
    """
    rows, clusters = distance.shape
    if capacity * clusters < rows:
        raise ValueError(f"{rows} rows do not fit into {clusters} clusters of {capacity}")
    wish = np.argsort(distance, axis=1, kind="stable")
    asked = np.zeros(rows, dtype=np.int64)
    cluster = np.full(rows, -1, dtype=np.int64)
    while len(open_rows := np.flatnonzero(cluster < 0)):
        choice = wish[open_rows, asked[open_rows]]
        asked[open_rows] += 1
        cluster[open_rows] = choice
        for crowded in np.unique(choice):
            members = np.flatnonzero(cluster == crowded)
            nearest = np.argsort(distance[members, crowded], kind="stable")
            cluster[members[nearest[capacity:]]] = -1
    return cluster


def balanced_kmeans(vectors: Floats, clusters: int, *, seed: int) -> IntArray:
    """Balanced embedding k-means over the rows of `vectors` [n, d], int64 [n] (GraphEraser's BEKM).

    No cluster has more than ceil(n / clusters) rows; with fewer rows than clusters some clusters are empty.
    """

    def distance(centres: Floats) -> Floats:
        """Euclidean."""
        return _distances(vectors, centres)

    def centre(members: IntArray) -> Floats:
        """The mean vector."""
        mean: Floats = vectors[members].mean(axis=0)
        return mean

    return _alternate(distance, centre, rows=len(vectors), clusters=clusters, seed=seed)


def balanced_interactions(users: Floats, items: Floats, *, clusters: int, seed: int) -> IntArray:
    """Balanced interaction-based partition (Chen et al. 2022, RecEraser, algorithm 3), int64 [n].

    Row i of `users` and of `items` [n, d] are the pre-trained vectors of the person and the item of interaction i. The
    distance of an interaction to an anchor is the product of the person's and the item's distances.
    """
    width = users.shape[1]
    both = np.concatenate([users, items], axis=1)

    def distance(centres: Floats) -> Floats:
        """Of the persons, times that of the items."""
        return _distances(users, centres[:, :width]) * _distances(items, centres[:, width:])

    def centre(members: IntArray) -> Floats:
        """The mean person beside the mean item."""
        mean: Floats = both[members].mean(axis=0)
        return mean

    return _alternate(distance, centre, rows=len(both), clusters=clusters, seed=seed)


def _alternate(
    distance: Callable[[Floats], Floats], centre: Callable[[IntArray], Floats], *, rows: int, clusters: int, seed: int
) -> IntArray:
    used = min(clusters, rows)
    if used == 0:
        return np.zeros(0, dtype=np.int64)
    starts = np.random.default_rng(seed).choice(rows, size=used, replace=False)
    centres = np.stack([centre(np.array([start])) for start in starts])
    cluster = np.full(rows, -1, dtype=np.int64)
    for _ in range(ROUNDS):
        moved = assign(distance(centres), -(-rows // used))
        if np.array_equal(moved, cluster):
            break
        cluster = moved
        centres = np.stack([centre(m) if len(m := np.flatnonzero(cluster == c)) else centres[c] for c in range(used)])
    return cluster


def _distances(vectors: Floats, centres: Floats) -> Floats:
    """Euclidean, one centre at a time: the difference of squares would not give 0 for a centre itself."""
    return np.stack([np.linalg.norm(vectors - centre, axis=1) for centre in centres], axis=1)
