"""A fitted model of item vectors. It holds no user row: people are folded in from their visible history."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from db.errors import LetheError
from db.log import InteractionLog
from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.ids import ItemRows
from recsys.matrix import history_matrix, log_matrix
from recsys.topk import candidates_from

FILE = "item.safetensors"

Floats = NDArray[np.float64]

SHRINKAGE = 0.01
"""Ridge of the fold-in map, in units of the mean variance of its input."""


class ItemVectors:
    """Scores are inner products of `item_vectors` [items, d] with a user vector folded in from the history.

    The user vector is the mean of `fold_vectors` [items, d] over the distinct items of the history, so that it
    needs nothing but the history and item tensors. `ego_vectors`, where a graph model has them, are the rows of layer
    0 that its item vectors were propagated from; scores do not use them.
    """

    def __init__(
        self,
        name: str,
        items: tuple[ItemId, ...],
        item_vectors: FloatArray,
        fold_vectors: FloatArray,
        ego_vectors: FloatArray | None = None,
    ) -> None:
        tensors = [t for t in (item_vectors, fold_vectors, ego_vectors) if t is not None]
        if any(t.shape != (len(items), item_vectors.shape[-1]) for t in tensors):
            raise ValueError(f"{len(items)} items but tensors {', '.join(str(t.shape) for t in tensors)}")
        if not all(np.isfinite(t).all() for t in tensors):
            raise LetheError(f"{name} has vectors that are not finite: train it with a smaller learning rate")
        self.name = name
        self.items = items
        self.item_vectors = item_vectors
        self.fold_vectors = fold_vectors
        self.ego_vectors = ego_vectors

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed, data epoch and the fitter's settings."""
        return {"backbone": self.name, "dimension": self.item_vectors.shape[1]}

    def user_vectors(self, histories: Sequence[IntArray]) -> FloatArray:
        """Mean of the fold vectors of each history, shape [people, d]; a row of zeros for no history."""
        x = history_matrix(histories, len(self.items))
        met = np.maximum(np.asarray(x.sum(axis=1)), 1.0)
        return np.asarray((x @ self.fold_vectors) / met, dtype=np.float32)

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        """Inner products of the folded-in user vectors with all item vectors, shape [people, items]."""
        return self.user_vectors(histories) @ self.item_vectors.T

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The k best items outside each `exclude`; an empty history yields an empty list."""
        return candidates_from(self.scores, histories, exclude, k)

    def save(self, folder: Path) -> None:
        """Write the item tensors and ids to an existing, empty folder."""
        tensors = {"item_vectors": self.item_vectors, "fold_vectors": self.fold_vectors}
        if self.ego_vectors is not None:
            tensors["ego_vectors"] = self.ego_vectors
        save_file({key: np.ascontiguousarray(t) for key, t in tensors.items()}, folder / FILE, {"name": self.name})
        ItemRows(self.items).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        with safe_open(folder / FILE, framework="numpy") as stored:
            name = str(stored.metadata()["name"])
            item_vectors, fold_vectors = stored.get_tensor("item_vectors"), stored.get_tensor("fold_vectors")
            ego_vectors = stored.get_tensor("ego_vectors") if "ego_vectors" in stored.keys() else None  # noqa: SIM118
        return cls(name, ItemRows.load(folder).ids, item_vectors, fold_vectors, ego_vectors)


def fold_vectors(log: InteractionLog, user_rows: FloatArray, item_vectors: FloatArray) -> FloatArray:
    """Fold vectors [items, d] with which a history is mapped closest to the user row that was trained on it.

    Item vectors are brought to length 1, meant over each history in `log`, and carried by `fold_map`. The rows
    `user_rows` [users, d] themselves are not kept.
    """
    return folded(log, item_vectors, fold_map(log, user_rows, item_vectors))


def folded(log: InteractionLog, item_vectors: FloatArray, carry: Floats) -> FloatArray:
    """The fold vectors of items [items, d] under a map [d, d]: their directions, carried.

    Items that nobody has met in `log` have 0: nobody was ever mapped from where training left them.
    """
    met = np.isin(np.arange(len(item_vectors)), log.item)
    return np.asarray(np.where(met[:, None], _directions(item_vectors) @ carry, 0.0), dtype=np.float32)


def fold_map(log: InteractionLog, user_rows: FloatArray, item_vectors: FloatArray) -> Floats:
    """The matrix [d, d] that carries the mean direction of a history's items to the user row, for all people at once.

    Fitted by ridge regression. People without a row in `log` are left out.
    """
    x = log_matrix(log)
    met = np.asarray(x.sum(axis=1)).ravel()
    warm = met > 0
    means = np.asarray(x @ _directions(item_vectors))[warm] / met[warm, None]
    gram = means.T @ means
    ridge = SHRINKAGE * np.trace(gram) / len(gram) + 1e-12
    return np.asarray(np.linalg.solve(gram + ridge * np.eye(len(gram)), means.T @ user_rows[warm]))


def found_map(model: ItemVectors) -> Floats:
    """The map [d, d] that made the fold vectors of `model`, up to rounding."""
    met = model.fold_vectors.any(axis=1)
    return np.asarray(np.linalg.lstsq(_directions(model.item_vectors)[met], model.fold_vectors[met], rcond=None)[0])


def _directions(item_vectors: FloatArray) -> Floats:
    lengths = np.linalg.norm(item_vectors, axis=1, keepdims=True)
    return np.asarray(item_vectors / np.maximum(lengths, 1e-12).astype(np.float64))
