"""Reads the visible interactions as columns."""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, or_, select

from db import catalogue
from db.log import InteractionLog
from db.records import ItemId, UserId
from db.schema import forget_requests, interactions, items, users
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


def changes_since(unit: Unit, epoch: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]] | None:
    """For each person whose rows were hidden after `epoch`: item rows then and now. None where more than that changed.

    Rows that were purged, or ingested, since `epoch` cannot be told apart from rows that were always so: the caller has
    to fit again.
    """
    r, c = forget_requests.c, interactions.c
    later = unit.connection.execute(select(r.id, r.user).where(r.epoch > epoch)).all()
    if catalogue.epoch(unit) - epoch != len(later) or any(user is None for _, user in later):
        return None
    hidden = c.hidden_by.in_([request for request, _ in later])
    goods = np.array(unit.connection.scalars(select(items.c.id).order_by(items.c.id)).all(), dtype=np.int64)
    changes = []
    for user in sorted({user for _, user in later}):
        rows = select(c.item, c.hidden_by).where(and_(c.user == user, or_(c.hidden_by.is_(None), hidden)))
        found = unit.connection.execute(rows.order_by(c.timestamp, c.item)).all()
        then = np.searchsorted(goods, np.array([item for item, _ in found], dtype=np.int64))
        now = np.searchsorted(goods, np.array([item for item, by in found if by is None], dtype=np.int64))
        changes.append((then.astype(np.int64), now.astype(np.int64)))
    return changes
