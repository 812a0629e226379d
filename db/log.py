"""The interactions as columns, which is how every model reads them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from db.records import ItemId, Split, UserId

SPLITS = (Split.TRAIN, Split.VALID, Split.TEST)
"""The code of a split in `InteractionLog.split` is its place here."""


@dataclass(frozen=True, slots=True)
class InteractionLog:
    """Visible interactions in time order, as rows into `users` and `items`.

    `user` and `item` are int64 [n], `timestamp` int64 [n] (unix seconds, 0 where unknown), `rating` float32 [n]
    (NaN where unknown), `split` uint8 [n]. `items` lists the whole catalogue, also items nobody has met.
    """

    users: tuple[UserId, ...]
    items: tuple[ItemId, ...]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    rating: NDArray[np.float32]
    split: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, mask: NDArray[np.bool_]) -> "InteractionLog":
        """The rows where `mask` holds; users and items keep their rows."""
        return replace(
            self,
            user=self.user[mask],
            item=self.item[mask],
            timestamp=self.timestamp[mask],
            rating=self.rating[mask],
            split=self.split[mask],
        )

    def only(self, *splits: Split) -> "InteractionLog":
        """The rows of the given splits."""
        return self.take(np.isin(self.split, [SPLITS.index(s) for s in splits]))

    def inhabited(self) -> "InteractionLog":
        """The same rows, and of the users only those who have one, in their order."""
        present, user = np.unique(self.user, return_inverse=True)
        return replace(self, users=tuple(self.users[row] for row in present.tolist()), user=user.astype(np.int64))

    def histories(self) -> list[NDArray[np.int64]]:
        """For each user row, the item rows in time order; empty where the user has none."""
        order = np.argsort(self.user, kind="stable")
        bounds = np.searchsorted(self.user[order], np.arange(len(self.users) + 1))
        return [self.item[order[a:b]] for a, b in _pairs(bounds)]


def _pairs(bounds: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    return zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
