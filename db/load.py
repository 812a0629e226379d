"""Reads the visible interactions as columns."""

import numpy as np
from sqlalchemy import select

from db.log import InteractionLog
from db.records import ItemId, UserId
from db.schema import interactions, items, users
from db.store import Unit


def load_log(unit: Unit, *, split: str = "random") -> InteractionLog:
    """Every visible interaction in time order; `split` chooses the column: "random" or "time"."""
    c = interactions.c
    column = {"random": c.split, "time": c.split_time}[split]
    people = unit.connection.execute(
        select(users.c.id, users.c.user_id).where(users.c.hidden_by.is_(None)).order_by(users.c.id)
    ).all()
    goods = unit.connection.execute(select(items.c.id, items.c.item_id).order_by(items.c.id)).all()
    statement = select(c.user, c.item, c.rating, c.timestamp, column).where(c.hidden_by.is_(None))
    rows = unit.connection.execute(statement).all()
    user, item, rating, at, part = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    timestamp = np.array([t or 0 for t in at], dtype=np.int64)
    user_row = np.searchsorted(np.array([k for k, _ in people], dtype=np.int64), np.array(user, dtype=np.int64))
    item_row = np.searchsorted(np.array([k for k, _ in goods], dtype=np.int64), np.array(item, dtype=np.int64))
    order = np.lexsort((item_row, user_row, timestamp))
    return InteractionLog(
        users=tuple(UserId(outside) for _, outside in people),
        items=tuple(ItemId(outside) for _, outside in goods),
        user=user_row[order].astype(np.int64),
        item=item_row[order].astype(np.int64),
        timestamp=timestamp[order],
        rating=np.array(rating, dtype=np.float32)[order],
        split=np.array(part, dtype=np.uint8)[order],
    )
