"""Ranking metrics per person, the distance between lists, and intervals for paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from recsys.candidates import IntArray

PAD = -1
"""Fills a row of a list matrix whose list is shorter than the widest; it never counts as a hit."""

Floats = NDArray[np.float64]


def pad(lists: Sequence[IntArray], width: int) -> IntArray:
    """Lists as one matrix [people, width]: cut at `width`, short ones filled with `PAD`."""
    out = np.full((len(lists), width), PAD, dtype=np.int64)
    for row, items in zip(out, lists, strict=True):
        kept = items[:width]
        row[: len(kept)] = kept
    return out


def hits(lists: IntArray, relevant: Sequence[IntArray]) -> NDArray[np.bool_]:
    """Where a person's list [people, width] holds one of that person's relevant items."""
    if len(lists) != len(relevant):
        raise ValueError(f"{len(lists)} lists but {len(relevant)} people with relevant items")
    counts = np.array([len(r) for r in relevant], dtype=np.int64)
    if len(counts) == 0:
        return np.zeros(lists.shape, dtype=np.bool_)
    if counts.min() == 0:
        raise LetheError(f"person {int(counts.argmin())} has no relevant item: leave such people out of the metrics")
    wanted = np.concatenate([np.asarray(r, dtype=np.int64) for r in relevant])
    span = int(max(lists.max(initial=0), wanted.max())) + 1
    owner = np.repeat(np.arange(len(relevant)), counts)
    keys = np.arange(len(lists))[:, None] * span + lists
    found: NDArray[np.bool_] = np.isin(keys, owner * span + wanted) & (lists != PAD)
    return found


def hit_rate(found: NDArray[np.bool_], k: int) -> Floats:
    """HR@k per person: 1 where any of the first k items is relevant."""
    return np.asarray(found[:, :k].any(axis=1), dtype=np.float64)


def recall(found: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    """Recall@k per person: hits in the first k over the number of relevant items, `relevant` [people]."""
    return np.asarray(found[:, :k].sum(axis=1) / relevant, dtype=np.float64)


def ndcg(found: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    """NDCG@k per person with binary gain 1/log2(rank+1), over the ideal truncated to min(k, relevant) items."""
    gain = 1 / np.log2(np.arange(2, k + 2))
    shown = found[:, :k]
    ideal = np.cumsum(gain)[np.minimum(relevant, k) - 1]
    return np.asarray(shown @ gain[: shown.shape[1]] / ideal, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class PerPerson:
    """HR, NDCG and Recall of each person at one cut-off, arrays [people]."""

    k: int
    hit_rate: Floats
    ndcg: Floats
    recall: Floats

    def means(self) -> dict[str, float]:
        """The mean of each metric, keyed as "ndcg@10"."""
        named = {"hit_rate": self.hit_rate, "ndcg": self.ndcg, "recall": self.recall}
        return {f"{name}@{self.k}": float(values.mean()) for name, values in named.items()}


def evaluate(lists: Sequence[IntArray], relevant: Sequence[IntArray], k: int) -> PerPerson:
    """All metrics at cut-off k; every person must have a relevant item, and a short list scores what it holds."""
    found = hits(pad(lists, k), relevant)
    counts = np.array([len(np.unique(r)) for r in relevant], dtype=np.int64)
    return PerPerson(k, hit_rate(found, k), ndcg(found, counts, k), recall(found, counts, k))


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bootstrap interval around it."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True when the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(new: Floats, old: Floats, *, seed: int, draws: int = 2000, level: float = 0.95) -> Interval:
    """Mean of `new - old` over the same people, with the percentile interval of `draws` resamplings of people."""
    if new.shape != old.shape or new.ndim != 1 or len(new) == 0:
        raise ValueError(f"paired values must be two arrays of one length: {new.shape} and {old.shape}")
    difference = new - old
    rng = np.random.default_rng(seed)
    people = len(difference)
    means = np.array([difference[rng.integers(people, size=people)].mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(difference.mean()), float(low), float(high))


def jaccard(a: IntArray, b: IntArray, k: int) -> Floats:
    """Items in both first-k lists over items in either, per person; 1 for two empty lists."""
    a, b = a[:, :k], b[:, :k]
    shared = _same(a, b).sum(axis=(1, 2))
    either = (a != PAD).sum(axis=1) + (b != PAD).sum(axis=1) - shared
    return np.where(either == 0, 1.0, shared / np.maximum(either, 1))


def rbo(a: IntArray, b: IntArray, *, p: float = 0.9) -> Floats:
    """Rank-biased overlap per person, extrapolated (Webber et al. 2010, eq. 32): 1 for equal lists, 0 for disjoint.

    The depth is the longer of the two lists; places that the shorter one lacks count as disagreement.
    """
    if a.shape != b.shape:
        raise ValueError(f"list matrices differ in shape: {a.shape} and {b.shape}")
    width = a.shape[1]
    met_at = np.maximum(np.arange(width)[:, None], np.arange(width)[None, :])
    overlap = np.zeros((len(a), width))
    same = _same(a, b)
    for depth in range(width):
        overlap[:, depth] = same[:, met_at == depth].sum(axis=1)
    overlap = overlap.cumsum(axis=1)
    depths = np.maximum((a != PAD).sum(axis=1), (b != PAD).sum(axis=1))
    rank = np.arange(1, width + 1)
    weight = np.where(rank <= depths[:, None], p**rank / rank, 0.0)
    at_end = np.take_along_axis(overlap, np.maximum(depths - 1, 0)[:, None], axis=1)[:, 0]
    value = (1 - p) / p * (overlap * weight).sum(axis=1) + at_end / np.maximum(depths, 1) * p**depths
    return np.where(depths == 0, 1.0, value)


def _same(a: IntArray, b: IntArray) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (a[:, :, None] == b[:, None, :]) & (a[:, :, None] != PAD)
    return same
