"""What every history filter keeps to, and what they share."""

from typing import Protocol

import numpy as np

from db.errors import LetheError
from recsys.candidates import IntArray


class HistoryFilter(Protocol):
    """Chooses which interactions of one person's visible history a prompt shows."""

    name: str

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """Places in `history` to keep, int64 [min(length, len(history))], rising: the rows stay in time order.

        `history` holds item rows, oldest first, and `candidates` the item rows to be judged. The same arguments give
        the same places.
        """
        ...


def room(history: IntArray, length: int) -> int:
    """How many rows a filter keeps: min(length, |D_u|)."""
    if length < 0:
        raise LetheError(f"a history of {length} rows was asked for; give 0 or more")
    return min(length, len(history))


def everything(history: IntArray) -> IntArray:
    """Every place of the history."""
    return np.arange(len(history), dtype=np.int64)
