"""The last reach: hidden rows are deleted, what must stay is cleared, and the files hold no residue."""

import time
from collections.abc import Callable, Iterable
from hashlib import sha256

from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from db.errors import StoreBusyError
from db.records import RequestId
from db.schema import concept_requests, forget_requests, interactions, recommendations, users
from db.store import BUSY_TIMEOUT_MS, Store, Unit

_PURGED_TABLES = ("interactions", "users", "recommendations", "concept_requests", "forget_requests")
_CHECKPOINT_TRIES = 20
_LOG_TRIES = 10


def commitment(salt: str, user: str) -> str:
    """SHA-256(salt ‖ id) in hex: lets the holder of the certificate prove whom it is about, and nobody else guess."""
    return sha256((salt + user).encode()).hexdigest()


def subject(unit: Unit, request: RequestId) -> tuple[str, str] | None:
    """The id and the salt that only the subject's certificate may keep; None once they are purged."""
    c = forget_requests.c
    row = unit.connection.execute(select(c.user_id, c.salt).where(c.id == request)).one()
    return (row.user_id, row.salt) if row.user_id and row.salt else None


def commitment_of(unit: Unit, request: RequestId) -> str | None:
    """The commitment that stays in the store after the purge."""
    return unit.connection.scalar(select(forget_requests.c.commitment).where(forget_requests.c.id == request))


def purge(unit: Unit, requests: Iterable[RequestId]) -> int:
    """Delete the hidden rows of these requests and clear the requests themselves. Returns interactions deleted."""
    gone = 0
    for request in requests:
        c = forget_requests.c
        row = unit.connection.execute(
            select(c.user, c.user_id, c.salt, c.whole_user).where(c.id == request, c.user_id.is_not(None))
        ).first()
        if row is None:
            continue
        key, user, salt, whole = row
        gone += unit.connection.execute(delete(interactions).where(interactions.c.hidden_by == request)).rowcount
        if whole:  # else the list is a new one, made from the rows that stay
            unit.connection.execute(delete(recommendations).where(recommendations.c.user == key))
            unit.connection.execute(delete(concept_requests).where(concept_requests.c.user == key))
        unit.connection.execute(delete(users).where(users.c.hidden_by == request))
        cleared = {"user": None, "user_id": None, "selection": None, "salt": None}
        kept = {"commitment": commitment(salt, user)}
        unit.connection.execute(update(forget_requests).where(c.id == request).values({**cleared, **kept}))
    return gone


def scrub(store: Store, *, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Rewrite the database so that deleted bytes are gone from its files. Returns what could not be reached.

    Raises StoreBusyError while a reader keeps old pages alive: the caller must not say "erased".
    """
    with store.autocommit() as connection:
        if store.dialect == "postgresql":
            return _scrub_postgresql(connection, sleep)
        _checkpoint(connection, sleep)
        connection.exec_driver_sql("VACUUM")
        _checkpoint(connection, sleep)
    return []


def _checkpoint(connection: Connection, sleep: Callable[[float], None]) -> None:
    # The pragma fails silently while a reader is open: its first column says so, and nothing else does.
    connection.exec_driver_sql("PRAGMA busy_timeout = 100")  # each try waits that long: seconds in all, not minutes
    for _ in range(_CHECKPOINT_TRIES):
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        if not busy:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            return
        sleep(0.1)
    raise StoreBusyError("a reader keeps deleted pages alive; close it and run `lethe erase` again")


_KEEPS_LOG = {
    "archive_mode": ("SELECT current_setting('archive_mode') <> 'off'", "archived write-ahead log"),
    "wal_keep_size": ("SELECT current_setting('wal_keep_size') <> '0'", "write-ahead log kept for standbys"),
    "slots": ("SELECT EXISTS (SELECT 1 FROM pg_replication_slots)", "write-ahead log kept for replication slots"),
}
"""Settings of the server under which old write-ahead log outlives the checkpoint."""

_SEGMENTS = "FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"
_WRITTEN = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"


def _scrub_postgresql(connection: Connection, sleep: Callable[[float], None]) -> list[str]:
    limits = ["files of the PostgreSQL server lie outside the root: the residue scan cannot read them"]
    tables = ", ".join(f"'{table}'::regclass" for table in _PURGED_TABLES)
    # ANALYZE leaves the statistics of a table that is empty now as they are.
    limits += _refused(connection, f"DELETE FROM pg_statistic WHERE starelid IN ({tables})")
    for table in _PURGED_TABLES:
        connection.execute(text(f'VACUUM (FULL, ANALYZE) "{table}"'))
    for statement in (
        "VACUUM FULL pg_statistic",
        "ALTER SYSTEM SET wal_recycle = off",
        "SELECT pg_reload_conf()",
    ):
        limits += _refused(connection, statement)
    limits += _scrub_log(connection, sleep)
    kept = [f"{words} ({name})" for name, (question, words) in _KEEPS_LOG.items() if connection.scalar(text(question))]
    return limits + [f"the PostgreSQL server may still hold the rows in its {words}" for words in kept]


def _scrub_log(connection: Connection, sleep: Callable[[float], None]) -> list[str]:
    """Write past every segment there is, and let a checkpoint remove them.

    A server that recycles its log has segments ahead of the one it writes, with old pages in them; and its checkpointer
    may hear of `wal_recycle` only after it has recycled once more.
    """
    try:
        for _ in range(_LOG_TRIES):
            last = connection.scalar(text(f"SELECT max(name) {_SEGMENTS}"))
            while connection.scalar(text(_WRITTEN)) <= last:
                connection.execute(text("SELECT pg_logical_emit_message(false, 'lethe', 'purge')"))
                connection.execute(text("SELECT pg_switch_wal()"))
            connection.execute(text("CHECKPOINT"))
            others = text(f"SELECT count(*) {_SEGMENTS} AND (name <= :last OR name > ({_WRITTEN}))")
            if not connection.scalar(others, {"last": last}):
                return []
            sleep(0.1)
    except DBAPIError as error:
        return [f"the PostgreSQL server may still hold the rows in its write-ahead log: {_first_line(error)}"]
    return ["the PostgreSQL server may still hold the rows in write-ahead log that it keeps or recycled"]


def _refused(connection: Connection, statement: str) -> list[str]:
    try:
        connection.execute(text(statement))
    except DBAPIError as error:
        return [f"PostgreSQL refused `{statement}`: {_first_line(error)}"]
    return []


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
