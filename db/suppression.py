"""Keyed hashes of what was forgotten, so that reading the same source again cannot bring it back."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select

from db.records import ItemId, RequestId, UserId
from db.schema import forget_requests, suppressions
from db.store import Unit, suppression_key

_BATCH = 10_000  # below SQLite's limit on the parameters of one statement


@dataclass(frozen=True, slots=True)
class Suppression:
    """The suppressed tokens, and the key to ask them with."""

    key: bytes
    tokens: frozenset[str]

    def hides_user(self, user: UserId) -> bool:
        """Whether the whole person is suppressed."""
        return user_token(self.key, user) in self.tokens

    def hides_row(self, user: UserId, item: ItemId) -> bool:
        """Whether this one interaction is suppressed."""
        return row_token(self.key, user, item) in self.tokens


def user_token(key: bytes, user: UserId) -> str:
    """HMAC-SHA256 of a person's id."""
    return hmac.new(key, b"user\0" + user.encode(), hashlib.sha256).hexdigest()


def row_token(key: bytes, user: UserId, item: ItemId) -> str:
    """HMAC-SHA256 of one interaction."""
    return hmac.new(key, b"row\0" + user.encode() + b"\0" + item.encode(), hashlib.sha256).hexdigest()


def load(unit: Unit) -> Suppression:
    """Everything suppressed, open and erased requests alike."""
    tokens = frozenset(unit.connection.scalars(select(suppressions.c.token)))
    return Suppression(suppression_key(unit.root), tokens)


def suppress(unit: Unit, request: RequestId, user: UserId, items: Iterable[ItemId] | None) -> None:
    """Suppress a whole person (`items` is None) or the given interactions of one."""
    key = suppression_key(unit.root)
    tokens = [("user", user_token(key, user))] if items is None else [("row", row_token(key, user, i)) for i in items]
    known = load(unit).tokens
    rows = [{"token": token, "kind": kind, "request": request} for kind, token in tokens if token not in known]
    if rows:
        unit.connection.execute(suppressions.insert(), rows)


def readmit(unit: Unit, users: Iterable[UserId], rows: Iterable[tuple[UserId, ItemId]] = ()) -> int:
    """Lift the entries of these people and interactions; those of requests still open stay. Returns how many went."""
    key = suppression_key(unit.root)
    tokens = [user_token(key, user) for user in users] + [row_token(key, user, item) for user, item in rows]
    erased = select(forget_requests.c.id).where(forget_requests.c.state == "erased")
    lifted = 0
    for start in range(0, len(tokens), _BATCH):
        wanted = suppressions.c.token.in_(tokens[start : start + _BATCH])
        lifted += unit.connection.execute(
            delete(suppressions).where(wanted, suppressions.c.request.in_(erased))
        ).rowcount
    return lifted
