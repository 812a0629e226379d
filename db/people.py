"""Where the database names people, whatever the dialect, and what one did: what a scan for residue looks for."""

from collections.abc import Iterable

from sqlalchemy import func, select

from db.records import RequestId, UserId
from db.schema import UserKey, interactions, items, metadata
from db.store import Unit


def named(unit: Unit, people: Iterable[UserId]) -> list[str]:
    """The columns, as `table.column`, that hold one of these ids."""
    wanted = list(people)
    columns = [c for table in metadata.sorted_tables for c in table.columns if isinstance(c.type, UserKey)]
    return [str(c) for c in columns if wanted and unit.connection.scalar(select(c).where(c.in_(wanted)).limit(1))]


def hidden_history(unit: Unit, request: RequestId) -> dict[str, list[int]]:
    """What a request hides, oldest first: "keys" of items in the database, and "rows" of theirs in the catalogue."""
    c = interactions.c
    statement = select(c.item).where(c.hidden_by == request).order_by(func.coalesce(c.timestamp, 0), c.item)
    keys = list(unit.connection.scalars(statement))
    place = {key: row for row, key in enumerate(unit.connection.scalars(select(items.c.id).order_by(items.c.id)))}
    return {"keys": keys, "rows": [place[key] for key in keys]}
