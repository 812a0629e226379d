"""Preference filter (CRAGRU, eq. 2-4): a history in small, with each category's share of the whole."""

import numpy as np

from recsys.candidates import IntArray
from retrieval.categories import Categories, Floats
from retrieval.filters.base import everything, room
from retrieval.filters.draw import draw


class Preference:
    """Keeps rows in proportion to the categories of the history."""

    name = "preference"

    def __init__(self, categories: Categories) -> None:
        self._categories = categories

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """Each category's share of `length` rows, drawn by `seed`."""
        length = room(history, length)
        if length == len(history):
            return everything(history)
        return draw(self._categories.weight[history], shares(self._categories.counts(history), length), seed=seed)


def shares(counts: Floats, length: int) -> IntArray:
    """K_c = floor(p_c·length) with p_c = counts_c / sum; what is left goes to the largest fractions (lower on ties).

    >>> shares(np.array([5.0, 3.0, 2.0]), 4).tolist()
    [2, 1, 1]
    """
    exact = counts / counts.sum() * length
    kept: IntArray = np.floor(exact + 1e-9).astype(np.int64)
    fraction = np.round(exact - kept, 9)
    kept[np.argsort(-fraction, kind="stable")[: length - int(kept.sum())]] += 1
    return kept
