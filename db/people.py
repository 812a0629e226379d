"""Where the database names people: every column of kind `UserKey`, whatever the dialect."""

from collections.abc import Iterable

from sqlalchemy import select

from db.records import UserId
from db.schema import UserKey, metadata
from db.store import Unit


def named(unit: Unit, people: Iterable[UserId]) -> list[str]:
    """The columns, as `table.column`, that hold one of these ids."""
    wanted = list(people)
    columns = [c for table in metadata.sorted_tables for c in table.columns if isinstance(c.type, UserKey)]
    return [str(c) for c in columns if wanted and unit.connection.scalar(select(c).where(c.in_(wanted)).limit(1))]
