"""The splits of rows that come new: assigned once, kept for life."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from db import catalogue
from db.load import load_log
from db.log import SPLITS
from db.records import Split
from db.store import Unit
from recsys.splits import SplitRecipe, assign

RANDOM = SplitRecipe("random")
TEMPORAL = SplitRecipe("temporal")

_TRAIN, _VALID, _TEST = (np.uint8(SPLITS.index(split)) for split in (Split.TRAIN, Split.VALID, Split.TEST))


class Codes(NamedTuple):
    """For each new row its places in `db.log.SPLITS`, and the recipes that gave them."""

    random: NDArray[np.uint8]
    temporal: NDArray[np.uint8]
    recipes: tuple[SplitRecipe, ...]


def split_codes(unit: Unit, new: pl.DataFrame, random: SplitRecipe = RANDOM) -> Codes:
    """Codes for new rows (surrogate keys `user` and `item`, `timestamp`), before they are written.

    The random split shares out each person's new rows among themselves, always by the recipe of the store's first
    rows: `random` counts for those alone. The two moments of the temporal split are found there too, and later read
    off the rows that are left: no moment outlives its row. Where the first rows know fewer than two moments, every
    temporal code is "train" and no temporal recipe is recorded.
    """
    user, item = new["user"].to_numpy(), new["item"].to_numpy()
    at = new["timestamp"].fill_null(0).to_numpy()
    recorded = catalogue.split_recipes(unit)
    codes = assign(_first(recorded, random), user, item, at)
    ends = _ends(unit) if TEMPORAL.name in recorded else None
    if ends is not None:
        later = np.where(at <= ends[0], _TRAIN, np.where(at <= ends[1], _VALID, _TEST))
        return Codes(codes, later, ())
    if len(at) == 0 or at.min() == at.max() or (recorded and TEMPORAL.name not in recorded):
        return Codes(codes, np.full(len(at), _TRAIN), (random,))
    return Codes(codes, assign(TEMPORAL, user, item, at), (random, TEMPORAL))


def record(unit: Unit, recipes: tuple[SplitRecipe, ...], epoch: int) -> None:
    """Remember how the splits were made; of each name the first recipe stays."""
    for recipe in recipes:
        stored = catalogue.SplitRecipe(recipe.name, asdict(recipe), recipe.seed, epoch, recipe.id(epoch))
        catalogue.record_split(unit, stored)


def _first(recorded: dict[str, catalogue.SplitRecipe], random: SplitRecipe) -> SplitRecipe:
    if random.name != RANDOM.name:
        raise ValueError(f"the random split cannot be made by a {random.name} recipe")
    known = recorded.get(random.name)
    if known is None:
        return random
    train, valid, test = cast(Sequence[float], known.recipe["ratios"])
    return SplitRecipe(known.name, (train, valid, test), known.seed)


def _ends(unit: Unit) -> tuple[int, int] | None:
    """The last moments of train and of validation among visible rows; None where there are none."""
    log = load_log(unit, split="time")
    if len(log) == 0:
        return None
    train, valid = (int(log.timestamp[log.split <= code].max(initial=-1)) for code in (_TRAIN, _VALID))
    return train, valid
