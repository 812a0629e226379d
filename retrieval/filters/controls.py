"""The filters that a clever one must beat at equal length: recent, random and none."""

import numpy as np

from recsys.candidates import IntArray
from retrieval.filters.base import everything, room


class Recent:
    """The last rows."""

    name = "recent"

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """The last min(length, |D_u|) places."""
        return everything(history)[len(history) - room(history, length) :]


class Random:
    """Rows drawn evenly, without replacement."""

    name = "random"

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """A sample by `seed`."""
        drawn = np.random.default_rng(seed).choice(len(history), size=room(history, length), replace=False)
        return np.sort(drawn).astype(np.int64)


class Whole:
    """The whole history: no filter. The one that does not keep to a length."""

    name = "none"

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """Every place, whatever `length` says."""
        return everything(history)
