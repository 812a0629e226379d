"""What an influence method reads: the rows that a model was made of, and which of them readers still see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db import catalogue, requests
from db.errors import LetheError
from db.load import load_log
from db.log import InteractionLog
from db.records import ForgetRequest, ItemId
from db.store import Store, Unit
from recsys.candidates import IntArray


@dataclass(frozen=True, slots=True)
class Around:
    """The rows of a model and what is left of them; both logs have the same people and items."""

    epoch: int
    """The data epoch at which `after` is all that readers see."""
    before: InteractionLog
    after: InteractionLog
    forgotten: IntArray
    """Rows of the people who lost something, ascending."""


def around(store: Store, since: int, items: Sequence[ItemId]) -> Around:
    """The rows of a model over `items` that was made of what was visible at the epoch `since`, and those of today.

    Raises LetheError where more than requests came since, as the model then cannot be corrected by what they hide.
    """
    with store.writing() as unit:  # rolled back: for this one read the rows of later requests show again
        epoch, later = catalogue.epoch(unit), requests_since(unit, since)
        if later is None:
            raise LetheError("rows came or went since the backbone was made: it cannot be reduced; run `lethe erase`")
        visible = load_log(unit)
        requests.reveal(unit, [request.id for request in later])
        before = load_log(unit)
    if tuple(items) != before.items:
        raise LetheError("the catalogue changed since the backbone was made: it cannot be reduced; run `lethe erase`")
    kept = _kept(before, visible)
    return Around(epoch, before, before.take(kept), np.unique(before.user[~kept]))


def requests_since(unit: Unit, since: int) -> list[ForgetRequest] | None:
    """Requests that came after the epoch `since`; None where more than requests did, or rows are purged already."""
    later = [request for request in requests.every(unit) if request.epoch > since]
    whole = catalogue.epoch(unit) - since == len(later) and all(request.user is not None for request in later)
    return later if whole else None


def _kept(before: InteractionLog, visible: InteractionLog) -> NDArray[np.bool_]:
    place = {user: row for row, user in enumerate(before.users)}
    rows = np.array([place[user] for user in visible.users], dtype=np.int64)
    pairs = rows[visible.user] * len(before.items) + visible.item
    return np.isin(before.user * len(before.items) + before.item, pairs)
