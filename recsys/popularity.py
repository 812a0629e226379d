"""Items by how many people met them: the floor of every comparison, and what serves people without a history."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from db.log import InteractionLog
from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.ids import ItemRows
from recsys.matrix import log_matrix
from recsys.topk import candidates_from, top_k

FILE = "item.safetensors"


class Popularity:
    """A fitted popularity ranking: `counts` int64 [items] is the number of distinct people of each item."""

    name = "popularity"

    def __init__(self, items: tuple[ItemId, ...], counts: NDArray[np.int64]) -> None:
        if len(items) != len(counts):
            raise ValueError(f"{len(items)} items but {len(counts)} counts")
        self.items = items
        self.counts = counts

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed and data epoch."""
        return {"backbone": self.name}

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        """The counts once for each history, shape [people, items]."""
        return np.tile(self.counts.astype(np.float32), (len(histories), 1))

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The k most popular items outside each `exclude`; an empty history yields an empty list."""
        return candidates_from(self.scores, histories, exclude, k)

    def fallback(self, exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The same list whether or not there is a history, marked "popularity": for people no other model can serve."""
        found = top_k(self.scores(exclude), exclude, k)
        return [Candidates(c.rows, c.scores, ("popularity",) * len(c)) for c in found]

    def save(self, folder: Path) -> None:
        """Write counts and ids to an existing, empty folder."""
        save_file({"counts": self.counts}, folder / FILE)
        ItemRows(self.items).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(ItemRows.load(folder).ids, load_file(folder / FILE)["counts"])


class PopularityFitter:
    """Counts people for each item; nothing to choose and nothing random."""

    def fit(self, log: InteractionLog) -> Popularity:
        """Count the distinct people of every item in `log`."""
        counts = np.asarray(log_matrix(log).sum(axis=0)).ravel().astype(np.int64)
        return Popularity(log.items, counts)
