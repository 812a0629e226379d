"""What lies between the rows before and after a forgetting, and the answer where nothing does."""

from typing import TypeVar

import numpy as np

from db.log import InteractionLog
from recsys.candidates import Backbone
from unlearning.data.base import Forgotten

M = TypeVar("M", bound=Backbone)


def rows_gone(before: InteractionLog, after: InteractionLog) -> int:
    """How many rows `after` lacks. Raises ValueError where it cannot be `before.take(mask)`."""
    if before.items != after.items or before.users != after.users:
        raise ValueError("users and items must keep their rows: forget with before.take(mask)")
    if len(after) > len(before):
        raise ValueError(f"{len(after)} rows after forgetting but {len(before)} before")
    return len(before) - len(after)


def same_rows(one: InteractionLog, other: InteractionLog) -> bool:
    """Whether two logs over the same users and items hold the same rows in the same order."""
    columns = ((one.user, other.user), (one.item, other.item), (one.timestamp, other.timestamp))
    return all(np.array_equal(a, b) for a, b in columns)


def nothing_gone(model: M) -> Forgotten[M]:
    """The model as it is: where no row goes, it never saw one that it should not have."""
    return Forgotten(model, exact=True, facts={"rows": 0})
