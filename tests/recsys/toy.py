"""Small synthetic logs with taste in them: people of two camps, items of two camps."""

import numpy as np

from db.log import InteractionLog
from db.records import ItemId, UserId
from recsys.splits import SplitRecipe, assign


def log_of(pairs: list[tuple[int, int]], users: int, items: int, split: list[int] | None = None) -> InteractionLog:
    """A log of (user row, item row) pairs, one second apart, in the order given."""
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return InteractionLog(
        users=tuple(UserId(f"u{u}") for u in range(users)),
        items=tuple(ItemId(f"i{i}") for i in range(items)),
        user=table[:, 0],
        item=table[:, 1],
        timestamp=np.arange(len(table), dtype=np.int64),
        rating=np.full(len(table), np.nan, dtype=np.float32),
        split=np.zeros(len(table), np.uint8) if split is None else np.array(split, dtype=np.uint8),
    )


def camps(users: int = 60, items: int = 40, each: int = 10, seed: int = 0) -> InteractionLog:
    """Even people mostly meet even items, odd people odd ones; split at random 80/10/10."""
    rng = np.random.default_rng(seed)
    pairs = []
    for user in range(users):
        liked = np.where(np.arange(items) % 2 == user % 2, 1.0, 0.1)
        met = rng.choice(items, size=each, replace=False, p=liked / liked.sum())
        pairs += [(user, int(item)) for item in met]
    rng.shuffle(pairs)
    table = np.array(pairs)
    split = assign(SplitRecipe(seed=seed), table[:, 0], table[:, 1], np.arange(len(table)))
    return log_of(pairs, users, items, split.tolist())
