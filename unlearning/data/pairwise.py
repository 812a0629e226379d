"""The full-batch loss of BPR and LightGCN over explicit rows: its value, its gradient, products with its Hessian.

Users and items share one numbering, users first, as in LightGCN's graph. With theta [nodes, d] the rows of layer 0 and
V = S theta the vectors (S is the identity for BPR, the mean over the steps along the graph for LightGCN), a triple
(u, i, j) has the margin m = v_u · (v_i − v_j) and costs weight · (log(1 + e^m) − target · m), which for target 1 is
BPR's −log σ(m) (Rendle et al. 2009). All in float64.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

from db.log import InteractionLog
from recsys.candidates import IntArray
from recsys.graph import normalised_adjacency
from recsys.matrix import log_matrix
from recsys.negatives import NegativeSampler
from unlearning.data.conjugate import Array

Spread = Callable[[Array], Array]
"""A symmetric linear map [nodes, d] to [nodes, d]: from rows of layer 0 to vectors, and from their gradients back."""

BLOCK = 1024
"""Users whose products with all items are held at once."""


@dataclass(frozen=True, slots=True)
class Triples:
    """Triples sorted by user: rows of user, item met and item not met (int64 [n]), and what they are to say."""

    user: IntArray
    item: IntArray
    other: IntArray
    weight: Array
    target: Array
    """The probability that the item is preferred to the other: 1 for what was met."""

    def take(self, mask: NDArray[np.bool_]) -> "Triples":
        """The triples where `mask` holds."""
        user, item, other = self.user[mask], self.item[mask], self.other[mask]
        return Triples(user, item, other, self.weight[mask], self.target[mask])

    def scaled(self, factor: float) -> "Triples":
        """The same triples, each weighing `factor` of what it did."""
        return replace(self, weight=self.weight * factor)

    def told(self, weight: Array, target: Array) -> "Triples":
        """The same triples with other weights and targets."""
        return replace(self, weight=weight, target=target)


def draw(log: InteractionLog, *, negatives: int, seed: int) -> Triples:
    """Each distinct pair of `log` with `negatives` items that its user has not met; equal arguments, equal triples.

    The triples of a pair weigh 1 together: in expectation the loss is that of one epoch, however many are drawn.
    """
    pairs = log_matrix(log).tocoo()
    user = np.repeat(pairs.row.astype(np.int64), negatives)
    item = np.repeat(pairs.col.astype(np.int64), negatives)
    weight = np.full(len(user), 1 / negatives)
    return Triples(user, item, NegativeSampler(log, seed).sample(user), weight, np.ones(len(user)))


def stays(triples: Triples, after: InteractionLog) -> NDArray[np.bool_]:
    """Which triples have their pair in `after`, shape [n]."""
    items = len(after.items)
    kept: NDArray[np.bool_] = np.isin(triples.user * items + triples.item, after.user * items + after.item)
    return kept


def same(rows: Array) -> Array:
    """The map of BPR: vectors are the rows of layer 0."""
    return rows


class Propagation:
    """The map of LightGCN (He et al. 2020, eq. 7 and 8): the mean over 0 to `layers` steps along the graph of `log`."""

    def __init__(self, log: InteractionLog, layers: int) -> None:
        graph = normalised_adjacency(log_matrix(log).astype(np.float32))
        values, columns, bounds = graph.values().numpy(), graph.col_indices().numpy(), graph.crow_indices().numpy()
        self.adjacency: sp.csr_matrix[np.float64] = sp.csr_matrix((values.astype(np.float64), columns, bounds))
        self.adjacency.resize(*graph.shape)
        self._layers = layers

    def __call__(self, rows: Array) -> Array:
        """The vectors of `rows`; the map is symmetric, so it also carries gradients back."""
        total = step = rows
        for _ in range(self._layers):
            step = np.asarray(self.adjacency @ step)
            total = total + step
        return np.asarray(total / (self._layers + 1))


@dataclass(frozen=True, slots=True)
class PairwiseLoss:
    """The sum over `triples` plus ridge/2 · |theta − centre|², for `users` users; a centre of None is the origin."""

    triples: Triples
    users: int
    spread: Spread
    ridge: float
    centre: Array | None = None

    def at(self, theta: Array) -> "Point":
        """The loss in the neighbourhood of `theta` [nodes, d]."""
        return Point(self, theta)


class Point:
    """Value, gradient and curvature of a loss at one theta; `loss` is the value."""

    def __init__(self, of: PairwiseLoss, theta: Array) -> None:
        triples = of.triples
        self._of = of
        self._vectors = of.spread(theta)
        self._offset = theta if of.centre is None else theta - of.centre
        margin = self._margins([(self._vectors, self._vectors)])
        hit = expit(margin)
        self._slope = triples.weight * (hit - triples.target)
        self._bend = triples.weight * hit * (1 - hit)
        data = triples.weight * (np.logaddexp(0, margin) - triples.target * margin)
        self.loss = float(data.sum() + of.ridge / 2 * np.vdot(self._offset, self._offset))

    def gradient(self) -> Array:
        """The gradient with respect to theta, [nodes, d]."""
        return self._of.spread(self._scatter(self._slope, self._vectors)) + self._of.ridge * self._offset

    def product(self, way: Array, *, exact: bool) -> Array:
        """The Hessian times `way` [nodes, d], or without `exact` the Gauss-Newton matrix (Schraudolph 2002).

        The latter leaves out the curvature of the margins and so has no negative eigenvalue, wherever theta is.
        """
        moved = self._of.spread(way)
        change = self._margins([(moved, self._vectors), (self._vectors, moved)])
        image = self._scatter(self._bend * change, self._vectors)
        if exact:
            image = image + self._scatter(self._slope, moved)
        return self._of.spread(image) + self._of.ridge * way

    def _margins(self, products: Sequence[tuple[Array, Array]]) -> Array:
        """The sum over `products` of left_u · (right_i − right_j) for every triple, [n].

        By dense products of a block of users with all items, which costs the same however many triples there are.
        """
        triples, users = self._of.triples, self._of.users
        left = np.hstack([one[:users] for one, _ in products])
        items = np.hstack([other[users:] for _, other in products]).T
        found = np.empty(len(triples.user))
        for first, part in _blocks(triples.user, users):
            block = left[first : first + BLOCK] @ items
            own = triples.user[part] - first
            found[part] = block[own, triples.item[part]] - block[own, triples.other[part]]
        return found

    def _scatter(self, slope: Array, vectors: Array) -> Array:
        """The gradient of Σ slope · m with respect to the vectors, at `vectors`."""
        triples, users = self._of.triples, self._of.users
        items = vectors[users:]
        found = np.zeros_like(vectors)
        for first, part in _blocks(triples.user, users):
            block = vectors[first : min(first + BLOCK, users)]
            own, size = (triples.user[part] - first) * len(items), len(block) * len(items)
            pull = np.bincount(own + triples.item[part], slope[part], size)
            pull -= np.bincount(own + triples.other[part], slope[part], size)
            pull = pull.reshape(len(block), len(items))
            found[first : first + len(block)] = pull @ items
            found[users:] += pull.T @ block
        return found


def _blocks(user: IntArray, users: int) -> Iterator[tuple[int, slice]]:
    for first in range(0, users, BLOCK):
        low, high = np.searchsorted(user, [first, first + BLOCK])
        if low < high:
            yield first, slice(int(low), int(high))
