"""Which rows are trained on, tuned on and tested on: assigned once, at ingest, from a recorded recipe."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import SPLITS
from db.records import Split

NAMES = ("random", "temporal")

_TRAIN, _VALID, _TEST = (np.uint8(SPLITS.index(s)) for s in (Split.TRAIN, Split.VALID, Split.TEST))


@dataclass(frozen=True, slots=True)
class SplitRecipe:
    """How rows are shared out: "random" within each user, or "temporal" at two moments common to all users."""

    name: str = "random"
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, valid and test; they sum to 1."""
    seed: int = 2020
    """Read by "random" only."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise LetheError(f"split {self.name!r} is unknown: choose one of {', '.join(NAMES)}")
        if min(self.ratios) < 0 or self.ratios[0] <= 0 or abs(sum(self.ratios) - 1) > 1e-9:
            raise LetheError(f"split ratios {self.ratios} must be three shares that sum to 1, the first above 0")

    def id(self, data_epoch: int) -> str:
        """The split's identity, 16 hexadecimal digits: a hash of recipe, seed and data epoch."""
        text = json.dumps({**asdict(self), "data_epoch": data_epoch}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def assign(
    recipe: SplitRecipe,
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    timestamp: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """The split code (place in `db.log.SPLITS`) of every row, shape [n].

    The result goes with the rows, whatever their order. "random" keeps repeated (user, item) rows together, so
    that no test pair is trained on, and leaves every user at least one training row. "temporal" puts rows of one
    moment together; users who arrive late may have no training row: they are the cold ones.
    """
    if not len(user) == len(item) == len(timestamp):
        raise ValueError(f"user, item and timestamp differ in length: {len(user)}, {len(item)}, {len(timestamp)}")
    if len(user) == 0:
        return np.zeros(0, dtype=np.uint8)
    if recipe.name == "temporal":
        return _temporal(recipe.ratios, timestamp)
    return _random(recipe, user, item)


def _random(recipe: SplitRecipe, user: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.uint8]:
    pairs, row_to_pair = np.unique(np.stack([user, item], axis=1), axis=0, return_inverse=True)
    _, start, count = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    shuffled = np.lexsort((np.random.default_rng(recipe.seed).random(len(pairs)), pairs[:, 0]))
    place = np.arange(len(pairs)) - np.repeat(start, count)
    held = _held_out(count, recipe.ratios)
    from_end = np.repeat(count, count) - 1 - place
    test, valid = np.repeat(held[1], count), np.repeat(held[0], count)
    codes = np.where(from_end < test, _TEST, np.where(from_end < test + valid, _VALID, _TRAIN))
    split = np.empty(len(pairs), dtype=np.uint8)
    split[shuffled] = codes
    return split[row_to_pair.ravel()]


def _held_out(count: NDArray[np.int64], ratios: tuple[float, float, float]) -> tuple[NDArray[np.int64], ...]:
    """Validation and test rows per user: whole shares, at least one each (test first) while a training row stays."""
    valid = np.floor(count * ratios[1] + 1e-9).astype(np.int64)
    test = np.floor(count * ratios[2] + 1e-9).astype(np.int64)
    test += (ratios[2] > 0) & (test == 0) & (count - valid - test > 1)
    valid += (ratios[1] > 0) & (valid == 0) & (count - valid - test > 1)
    return valid, test


def _temporal(ratios: tuple[float, float, float], timestamp: NDArray[np.int64]) -> NDArray[np.uint8]:
    if timestamp.min() == timestamp.max():
        raise LetheError(
            f"every row has timestamp {timestamp[0]}, so no temporal split exists: ingest timestamps or split at random"
        )
    in_time = np.sort(timestamp)
    last = len(in_time) - 1
    train_end = in_time[min(last, max(0, round(len(in_time) * ratios[0]) - 1))]
    valid_end = in_time[min(last, max(0, round(len(in_time) * (ratios[0] + ratios[1])) - 1))]
    return np.where(timestamp <= train_end, _TRAIN, np.where(timestamp <= valid_end, _VALID, _TEST))
