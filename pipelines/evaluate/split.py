"""The split of an evaluation: made once, named by a hash over its recipe, the data epoch and the code of every row."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Item
from recsys.splits import SplitRecipe, assign

PAPER = SplitRecipe("random", (0.7, 0.1, 0.2))
"""70/10/20 within each person, as in the CRAGRU paper."""

NAMES = ("paper", "random", "temporal")
"""`paper` is made for evaluations; the others are the columns that ingest assigned."""


class ResplitError(LetheError):
    """Rows carry another split than the one that an evaluation was begun with."""


@dataclass(frozen=True, slots=True)
class EvaluationSplit:
    """Which split rows carry. Every stage and every result names its `id`, 16 hexadecimal digits."""

    name: str
    recipe: Mapping[str, object]
    id: str


@dataclass(frozen=True, slots=True)
class Data:
    """The visible rows of one data epoch; `log.split` is that of `split`, which is checked once, here.

    `items` are the catalogue in row order, or empty where nothing is known of items but their ids.
    """

    epoch: int
    log: InteractionLog
    items: tuple[Item, ...]
    split: EvaluationSplit

    def __post_init__(self) -> None:
        found = _id(self.split.recipe, self.epoch, self.log)
        if found != self.split.id:
            raise ResplitError(
                f"split {self.split.name} is {self.split.id}, but the rows carry {found}: a split is made once; "
                "evaluate the rows as they were split"
            )


def with_split(
    log: InteractionLog, name: str, recipe: Mapping[str, object], *, epoch: int, items: tuple[Item, ...] = ()
) -> Data:
    """The log with the split that its rows carry, under its id."""
    plain = plain_recipe(recipe)
    return Data(epoch, log, items, EvaluationSplit(name, plain, _id(plain, epoch, log)))


def plain_recipe(recipe: Mapping[str, object]) -> dict[str, object]:
    """The recipe as JSON reads it back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in recipe.items()}


def resplit(log: InteractionLog, recipe: SplitRecipe) -> InteractionLog:
    """The same rows, shared out by another recipe: for a split that does not exist yet."""
    return replace(log, split=assign(recipe, log.user, log.item, log.timestamp))


def paper_split(log: InteractionLog, *, epoch: int, items: tuple[Item, ...] = ()) -> Data:
    """70/10/20 within each person."""
    return with_split(resplit(log, PAPER), "paper", asdict(PAPER), epoch=epoch, items=items)


def _id(recipe: Mapping[str, object], epoch: int, log: InteractionLog) -> str:
    digest = hashlib.sha256(json.dumps({**recipe, "data_epoch": epoch}, sort_keys=True).encode())
    pairs = log.user * len(log.items) + log.item
    order = np.argsort(pairs, kind="stable")
    digest.update(pairs[order].astype("<i8").tobytes())
    digest.update(log.split[order].tobytes())
    return digest.hexdigest()[:16]
