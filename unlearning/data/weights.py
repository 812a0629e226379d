"""GraphEraser's learned aggregation: one static weight a shard, at least 0 and 1 in sum."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, softmax

from db.log import InteractionLog
from recsys.candidates import FloatArray, IntArray
from recsys.matrix import log_matrix
from recsys.negatives import NegativeSampler
from recsys.sharded import ShardedVectors, StaticWeights

Floats = NDArray[np.float64]
A = TypeVar("A", bound=Any)

FACTOR = (-5.0, 5.0)
"""Bounds of the logarithm of the factor."""

BLOCK = 8192
"""Triples whose margins are made at once."""


@dataclass(frozen=True, slots=True)
class WeightsFitter:
    """Learns static weights from pairs of met and unmet items; the sub-models are frozen.

    A pair's person is folded in without its item, which would else speak for itself in every shard, a useless one too.
    """

    pairs: int = 50_000
    """The most (person, item) pairs that are drawn for it; GraphEraser too learns its weights from a part."""
    penalty: float = 1.0
    """Of the weights' squared length, which is least where all are equal. Chosen on validation rows: sub-models have
    learned the rows that the weights are learned from, and weights that trust these rank worse than equal ones."""

    def fit(self, parts: ShardedVectors, log: InteractionLog, seed: int) -> StaticWeights:
        """The weights with the least BPR loss of the mixed scores, people being folded in from `log`.

        Beside them one factor of all scores is learned and dropped: without it weights that sum to 1 would go to
        useless shards only to make scores smaller. Shards without a sub-model get weight 0.
        """
        live = np.flatnonzero(parts.live)
        margins = self._margins(parts, log, seed)[:, live]

        def loss(x: Floats) -> tuple[float, Floats]:
            """The loss and its gradient, at the logits of the weights and the factor's logarithm."""
            w, factor = softmax(x[:-1]), np.exp(x[-1])
            m = factor * (margins @ w)
            wrong = expit(-m) / len(m)
            slope = 2 * self.penalty * w - factor * (margins.T @ wrong)
            value = np.logaddexp(0.0, -m).mean() + self.penalty * (w @ w)
            return float(value), np.append(w * (slope - w @ slope), -(m @ wrong))

        bounds = [(None, None)] * len(live) + [FACTOR]
        found = minimize(loss, np.zeros(len(live) + 1), jac=True, method="L-BFGS-B", bounds=bounds)
        weights = np.zeros(parts.shards, dtype=np.float32)
        weights[live] = softmax(found.x[:-1])
        return StaticWeights(weights)

    def _margins(self, parts: ShardedVectors, log: InteractionLog, seed: int) -> Floats:
        """For each drawn pair the score of its item less that of an item not met, by shard, [pairs, shards]."""
        users, met, unmet = drawn(log, self.pairs, seed)
        folded, many = parts.user_parts(log.histories()), items_met(log)
        margins = np.empty((len(users), parts.shards))
        for start in range(0, len(users), BLOCK):
            b = slice(start, start + BLOCK)
            people = without(folded[users[b]], parts.fold_parts[met[b]], many[users[b], None, None])
            margins[b] = np.einsum("nkd,nkd->nk", people, parts.item_parts[met[b]] - parts.item_parts[unmet[b]])
        return margins


def drawn(log: InteractionLog, most: int, seed: int) -> tuple[IntArray, IntArray, IntArray]:
    """At most `most` distinct (user, item) pairs of `log` in random order, each with an item the user has not met."""
    pairs = log_matrix(log).tocoo()
    order = np.random.default_rng(seed).permutation(pairs.nnz)[:most]
    users, met = pairs.row[order].astype(np.int64), pairs.col[order].astype(np.int64)
    return users, met, NegativeSampler(log, seed).sample(users)


def items_met(log: InteractionLog) -> FloatArray:
    """How many distinct items each user has met, float32 [users]."""
    return np.asarray(log_matrix(log).sum(axis=1), dtype=np.float32).ravel()


def without(mean: A, part: A, many: A) -> A:
    """The mean of `many` vectors when `part` is taken out of it; 0 where it was the only one. Arrays or tensors."""
    left: A = (mean * many - part) / (many - 1 + (many <= 1))
    return left
