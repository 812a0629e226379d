"""What a backbone offers: candidate items with scores, and the protocol every backbone keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from db.records import ItemId

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items offered to one person, best first.

    `rows` are item rows of the backbone (int64, shape [k]), `scores` float32 of the same shape, and
    `origin` names for each the retrieval that brought it: "backbone", "text" or "popularity".
    """

    rows: IntArray
    scores: FloatArray
    origin: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.scores) == len(self.origin):
            raise ValueError(
                f"rows, scores and origin differ in length: {len(self.rows)}, {len(self.scores)}, {len(self.origin)}"
            )
        if len(np.unique(self.rows)) != len(self.rows):
            raise ValueError("a candidate list holds an item twice")

    def __len__(self) -> int:
        return len(self.rows)


class Backbone(Protocol):
    """A fitted collaborative-filtering model that serves people from their visible history.

    No user vector is kept: what is not stored cannot survive a forget request.
    """

    name: str
    items: tuple[ItemId, ...]
    """Outside id of every item row."""

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        """Score of every item for each history (item rows, oldest first), shape [people, items]."""
        ...

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The best k items for each history, none of them in its `exclude`. An empty history yields an empty list."""
        ...

    def save(self, folder: Path) -> None:
        """Write safetensors and ids to an existing, empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...


@runtime_checkable
class VectorBackbone(Protocol):
    """The optional capability of BPR and LightGCN: item vectors, and fold-in of a history into a user vector."""

    item_vectors: FloatArray
    """Shape [items, d]."""

    def user_vectors(self, histories: Sequence[IntArray]) -> FloatArray:
        """Shape [people, d]; the inner product with `item_vectors` gives the scores. A row of zeros for no history."""
        ...
