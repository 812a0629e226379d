"""Drawing so many rows of each category from one history."""

import numpy as np

from recsys.candidates import IntArray
from retrieval.categories import Floats


def draw(weight: Floats, wanted: IntArray, *, seed: int) -> IntArray:
    """Rising places, int64 [sum of `wanted`], with `wanted[c]` rows drawn for each category c.

    `weight` [rows, categories] holds each row's share in each category. Rows are drawn without replacement with
    chances proportional to their share; a row of several categories is drawn for one of them. The category with
    the fewest rows to spare draws first; where shared rows leave one short, the rest is drawn from what is left.
    """
    rng = np.random.default_rng(seed)
    left = np.ones(len(weight), dtype=np.bool_)
    spare = (weight > 0).sum(axis=0) - wanted
    for category in np.argsort(spare, kind="stable"):
        _take(weight[:, category] * left, int(wanted[category]), left, rng)
    _take(left.astype(np.float64), int(wanted.sum() - (~left).sum()), left, rng)
    return np.flatnonzero(~left).astype(np.int64)


def _take(
    chance: Floats, count: int, left: np.ndarray[tuple[int], np.dtype[np.bool_]], rng: np.random.Generator
) -> None:
    count = min(count, int((chance > 0).sum()))
    if count:
        left[rng.choice(len(chance), size=count, replace=False, p=chance / chance.sum())] = False
