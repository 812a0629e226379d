"""Negative items for pairwise training: uniform over the items a person has not met."""

import numpy as np
from numpy.typing import NDArray

from db.log import InteractionLog

TRIES = 100
"""Rounds of redrawing; whoever has met nearly everything keeps the last draw."""

Rows = NDArray[np.int64]


class NegativeSampler:
    """Draws items by rejection, all people of a batch at once, from its own generator."""

    def __init__(self, log: InteractionLog, seed: int) -> None:
        self._items = len(log.items)
        self._met = np.unique(log.user * self._items + log.item)
        self._rng = np.random.default_rng(seed)

    def sample(self, users: Rows) -> Rows:
        """One item row for each user row, none that the user has met, shape [n]."""
        drawn = self._rng.integers(self._items, size=len(users))
        open_places = np.arange(len(users))
        for _ in range(TRIES):
            open_places = open_places[self._is_met(users[open_places], drawn[open_places])]
            if len(open_places) == 0:
                break
            drawn[open_places] = self._rng.integers(self._items, size=len(open_places))
        return drawn

    def _is_met(self, users: Rows, items: Rows) -> NDArray[np.bool_]:
        keys = users * self._items + items
        places = np.minimum(np.searchsorted(self._met, keys), len(self._met) - 1)
        met: NDArray[np.bool_] = self._met[places] == keys
        return met
