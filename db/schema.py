"""The tables. Every column says in `info["erasure"]` what becomes of it when a person is erased."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
)

from db.erasure import Rule


class UtcDateTime(TypeDecorator[datetime]):
    """Stores an aware datetime as UTC and gives it back aware, on every dialect."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses a naive datetime: its zone would be a guess."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}; give it a time zone")
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Attaches UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class UserKey(TypeDecorator[str]):
    """An outside user id: the residue scan compares every column of this type exactly."""

    impl = String(256)
    cache_ok = True


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _col(name: str, kind: Any, rule: Rule, *constraints: Any, **options: Any) -> Column[Any]:
    options.setdefault("nullable", False)
    return Column(name, kind, *constraints, info={"erasure": rule}, **options)


_SURROGATE = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    _col("key", String(64), Rule.IMPERSONAL, primary_key=True),
    _col("value", Text, Rule.IMPERSONAL),
)

users = Table(
    "users",
    metadata,
    _col("id", _SURROGATE, Rule.DELETED, primary_key=True, autoincrement=True),
    _col("user_id", UserKey, Rule.DELETED, unique=True),
    _col("hidden_by", String(32), Rule.DELETED, ForeignKey("forget_requests.id"), nullable=True, index=True),
    sqlite_autoincrement=True,
)

items = Table(
    "items",
    metadata,
    _col("id", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=True),
    _col("item_id", String(256), Rule.IMPERSONAL, unique=True),
    _col("title", Text, Rule.IMPERSONAL),
    _col("year", Integer, Rule.IMPERSONAL, nullable=True),
    _col("genres", JSON, Rule.IMPERSONAL),
    _col("description", Text, Rule.IMPERSONAL),
)

interactions = Table(
    "interactions",
    metadata,
    _col("user", _SURROGATE, Rule.DELETED, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    _col("item", _SURROGATE, Rule.DELETED, ForeignKey("items.id"), primary_key=True, autoincrement=False),
    _col("rating", Float, Rule.DELETED, nullable=True),
    _col("timestamp", BigInteger, Rule.DELETED, nullable=True),
    _col("split", SmallInteger, Rule.DELETED),
    _col("split_time", SmallInteger, Rule.DELETED),
    _col("hidden_by", String(32), Rule.DELETED, ForeignKey("forget_requests.id"), nullable=True),
    sqlite_with_rowid=False,
)
# Only hidden rows are ever looked up by request; a partial index stays empty and costs ingest nothing. The migration
# makes it partial on PostgreSQL too: to say so here would import that dialect into every command.
Index("ix_interactions_hidden_by", interactions.c.hidden_by, sqlite_where=interactions.c.hidden_by.is_not(None))

splits = Table(
    "splits",
    metadata,
    _col("name", String(32), Rule.IMPERSONAL, primary_key=True),
    _col("recipe", JSON, Rule.IMPERSONAL),
    _col("seed", BigInteger, Rule.IMPERSONAL),
    _col("epoch", BigInteger, Rule.IMPERSONAL),
    _col("hash", String(64), Rule.IMPERSONAL),
)

forget_requests = Table(
    "forget_requests",
    metadata,
    _col("id", String(32), Rule.IMPERSONAL, primary_key=True),
    _col("user", _SURROGATE, Rule.CLEARED, nullable=True, index=True),
    _col("user_id", UserKey, Rule.CLEARED, nullable=True),
    _col("selection", JSON, Rule.CLEARED, nullable=True),
    _col("salt", String(64), Rule.CLEARED, nullable=True),
    _col("commitment", String(64), Rule.COMMITMENT, nullable=True),
    _col("whole_user", Boolean, Rule.IMPERSONAL),
    _col("state", String(16), Rule.IMPERSONAL, index=True),
    _col("epoch", BigInteger, Rule.IMPERSONAL),
    _col("rows", Integer, Rule.DISCLOSED),
    _col("accepted_at", UtcDateTime, Rule.DISCLOSED),
    _col("erased_at", UtcDateTime, Rule.DISCLOSED, nullable=True),
    _col("deadline", UtcDateTime, Rule.DISCLOSED),
)

forget_steps = Table(
    "forget_steps",
    metadata,
    _col("request", String(32), Rule.IMPERSONAL, ForeignKey("forget_requests.id"), primary_key=True),
    _col("name", String(32), Rule.IMPERSONAL, primary_key=True),
    _col("position", Integer, Rule.IMPERSONAL),
    _col("done_at", UtcDateTime, Rule.IMPERSONAL, nullable=True),
)

receipts = Table(
    "receipts",
    metadata,
    _col("id", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=True),
    _col("request", String(32), Rule.IMPERSONAL, ForeignKey("forget_requests.id"), index=True),
    _col("layer", String(32), Rule.IMPERSONAL),
    _col("action", String(64), Rule.IMPERSONAL),
    _col("artifact", String(128), Rule.IMPERSONAL),
    _col("exact", Boolean, Rule.IMPERSONAL),
    _col("seconds", Float, Rule.IMPERSONAL),
    _col("detail", Text, Rule.IMPERSONAL),
    _col("at", UtcDateTime, Rule.IMPERSONAL),
)

verdicts = Table(
    "verdicts",
    metadata,
    _col("id", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=True),
    _col("request", String(32), Rule.IMPERSONAL, ForeignKey("forget_requests.id"), index=True),
    _col("audit", String(64), Rule.IMPERSONAL),
    _col("value", Float, Rule.IMPERSONAL),
    _col("limit", Float, Rule.IMPERSONAL),
    _col("control", Float, Rule.IMPERSONAL, nullable=True),
    _col("control_found", Boolean, Rule.IMPERSONAL),
    _col("oracle", Float, Rule.IMPERSONAL, nullable=True),
    _col("detail", Text, Rule.IMPERSONAL),
    _col("at", UtcDateTime, Rule.IMPERSONAL),
)

artifacts = Table(
    "artifacts",
    metadata,
    _col("id", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=True),
    _col("kind", String(32), Rule.IMPERSONAL),
    _col("name", String(64), Rule.IMPERSONAL),
    _col("generation", Integer, Rule.IMPERSONAL),
    _col("path", Text, Rule.IMPERSONAL),
    _col("sha256", String(64), Rule.IMPERSONAL),
    _col("data_epoch", BigInteger, Rule.IMPERSONAL),
    _col("scope", String(16), Rule.IMPERSONAL),
    _col("mode", String(16), Rule.IMPERSONAL),
    _col("state", String(16), Rule.IMPERSONAL, index=True),
    _col("seed", BigInteger, Rule.IMPERSONAL, nullable=True),
    _col("settings", JSON, Rule.IMPERSONAL),
    _col("created_at", UtcDateTime, Rule.IMPERSONAL),
    _col("destroyed_at", UtcDateTime, Rule.IMPERSONAL, nullable=True),
)

artifact_parents = Table(
    "artifact_parents",
    metadata,
    _col("child", _SURROGATE, Rule.IMPERSONAL, ForeignKey("artifacts.id"), primary_key=True, autoincrement=False),
    _col("parent", _SURROGATE, Rule.IMPERSONAL, ForeignKey("artifacts.id"), primary_key=True, autoincrement=False),
)

jobs = Table(
    "jobs",
    metadata,
    _col("id", String(32), Rule.IMPERSONAL, primary_key=True),
    _col("kind", String(32), Rule.IMPERSONAL),
    _col("state", String(16), Rule.IMPERSONAL),
    _col("settings", JSON, Rule.IMPERSONAL),
    _col("backbone", _SURROGATE, Rule.IMPERSONAL, ForeignKey("artifacts.id")),
    _col("epoch", BigInteger, Rule.IMPERSONAL),
    _col("out", Text, Rule.IMPERSONAL),
    _col("created_at", UtcDateTime, Rule.IMPERSONAL),
    _col("finished_at", UtcDateTime, Rule.IMPERSONAL, nullable=True),
)

chunks = Table(
    "chunks",
    metadata,
    _col("job", String(32), Rule.IMPERSONAL, ForeignKey("jobs.id"), primary_key=True),
    _col("number", Integer, Rule.IMPERSONAL, primary_key=True),
    _col("first_user", _SURROGATE, Rule.IMPERSONAL),
    _col("last_user", _SURROGATE, Rule.IMPERSONAL),
    _col("counts", JSON, Rule.IMPERSONAL, nullable=True),
    _col("done_at", UtcDateTime, Rule.IMPERSONAL, nullable=True),
)

recommendations = Table(
    "recommendations",
    metadata,
    _col("user", _SURROGATE, Rule.DELETED, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    _col("rank", Integer, Rule.DELETED, primary_key=True, autoincrement=False),
    _col("item", _SURROGATE, Rule.DELETED, ForeignKey("items.id")),
    _col("score", Float, Rule.DELETED),
    _col("origin", String(16), Rule.DELETED),
    _col("backbone", _SURROGATE, Rule.DELETED, ForeignKey("artifacts.id")),
    sqlite_with_rowid=False,
)

concept_requests = Table(
    "concept_requests",
    metadata,
    _col("id", String(32), Rule.DELETED, primary_key=True),
    _col("user", _SURROGATE, Rule.DELETED, ForeignKey("users.id"), nullable=True, index=True),
    _col("name", Text, Rule.DELETED),
    _col("kind", String(16), Rule.DELETED),
    _col("items", JSON, Rule.DELETED),
    _col("layer", String(16), Rule.DELETED),
    _col("state", String(16), Rule.DELETED),
    _col("adapter", _SURROGATE, Rule.DELETED, ForeignKey("artifacts.id"), nullable=True),
    _col("detail", Text, Rule.DELETED),
    _col("accepted_at", UtcDateTime, Rule.DELETED),
)
"""Where `user` is null the concept is forgotten for everybody; else the row dies with the person."""

suppressions = Table(
    "suppressions",
    metadata,
    _col("token", String(64), Rule.PSEUDONYM, primary_key=True),
    _col("kind", String(8), Rule.IMPERSONAL),
    _col("request", String(32), Rule.IMPERSONAL, ForeignKey("forget_requests.id"), index=True),
)

exports = Table(
    "exports",
    metadata,
    _col("id", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=True),
    _col("path", Text, Rule.DISCLOSED),
    _col("sha256", String(64), Rule.DISCLOSED),
    _col("rows", Integer, Rule.IMPERSONAL),
    _col("epoch", BigInteger, Rule.IMPERSONAL),
    _col("at", UtcDateTime, Rule.IMPERSONAL),
)

sources = Table(
    "sources",
    metadata,
    _col("id", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=True),
    _col("kind", String(32), Rule.IMPERSONAL),
    _col("name", Text, Rule.IMPERSONAL),
    _col("sha256", String(64), Rule.DISCLOSED),
    _col("counts", JSON, Rule.IMPERSONAL),
    _col("at", UtcDateTime, Rule.IMPERSONAL),
)

ledger = Table(
    "ledger",
    metadata,
    _col("seq", _SURROGATE, Rule.IMPERSONAL, primary_key=True, autoincrement=False),
    _col("at", UtcDateTime, Rule.IMPERSONAL),
    _col("event", String(32), Rule.IMPERSONAL),
    _col("request", String(32), Rule.IMPERSONAL, nullable=True, index=True),
    _col("payload", JSON, Rule.IMPERSONAL),
    _col("previous", String(64), Rule.IMPERSONAL),
    _col("hash", String(64), Rule.IMPERSONAL, unique=True),
)
