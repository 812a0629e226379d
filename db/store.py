"""The only module that opens a database connection. A unit of work rolls back unless it is committed."""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from db.errors import LetheError, StoreBusyError
from db.schema import meta

HEAD = "0002"
"""The newest migration; a test holds it equal to Alembic's own head."""

BUSY_TIMEOUT_MS = 10_000
_MAINTAINER_LOCK = 0x1E7E  # PostgreSQL advisory lock: one maintainer at a time


@dataclass(frozen=True, slots=True)
class Unit:
    """One transaction. Nothing it did stays unless `commit` was called before it closed."""

    connection: Connection
    root: Path

    def commit(self) -> None:
        """Make everything done so far durable."""
        self.connection.commit()


@dataclass(frozen=True, slots=True)
class Store:
    """A root folder and its database: SQLite inside the root, or PostgreSQL by URL."""

    root: Path
    engine: Engine

    @classmethod
    def open(cls, root: Path, url: str | None = None, *, create: bool = False) -> "Store":
        """Open the store, migrating the schema when it is older.

        Raises LetheError when there is no store and `create` is false, and when the URL is of no known kind.
        """
        database = root / "lethe.db"
        if root.exists() and not root.is_dir():
            raise LetheError(f"{root} is a file; name a folder with --root")
        if url is None and not database.exists() and not create:
            raise LetheError(f"no store in {root}; run `lethe ingest` first, or name another --root")
        engine = _engine(url or f"sqlite:///{database}")
        try:
            (root / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LetheError(f"{root} cannot be used: {error.strerror}; name another --root") from error
        os.environ["SQLITE_TMPDIR"] = str((root / "tmp").resolve())  # where VACUUM puts its copy: inside the root
        store = cls(root, engine)
        store._migrate(create=create)
        return store

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def writing(self) -> Iterator[Unit]:
        """A write transaction; takes the write lock at once, so that what it reads cannot change under it."""
        with self._connection(write=True) as connection:
            yield Unit(connection, self.root)
            connection.rollback()

    @contextmanager
    def reading(self) -> Iterator[Unit]:
        """A consistent read; never blocks a writer."""
        with self._connection(write=False) as connection:
            yield Unit(connection, self.root)
            connection.rollback()

    @contextmanager
    def maintaining(self) -> Iterator[None]:
        """One maintainer (erase, train) at a time over the root. Raises StoreBusyError when another holds it."""
        with (self.root / "maintainer.lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreBusyError(f"another command maintains {self.root}; run this again when it ends") from error
            if self.dialect == "postgresql":
                with self._advisory_lock():
                    yield
            else:
                yield

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A connection outside any transaction, for VACUUM and checkpoints."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT", lethe_begin="") as connection:
            yield connection

    def database_files(self) -> list[Path]:
        """The SQLite file and what SQLite keeps beside it, wherever they lie; nothing where a server keeps the rows."""
        if self.dialect != "sqlite":
            return []
        with self.autocommit() as connection:
            names = [row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[2]]
        beside = [Path(name + tail) for name in names for tail in ("", "-journal", "-shm", "-wal")]
        return [path for path in beside if path.exists()]

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    @contextmanager
    def _connection(self, *, write: bool) -> Iterator[Connection]:
        try:
            mode = "IMMEDIATE" if write else "DEFERRED"
            with self.engine.connect().execution_options(lethe_begin=mode) as connection:
                connection.begin()
                if write and self.dialect == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAINTAINER_LOCK + 1})
                elif not write and self.dialect == "postgresql":
                    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
                yield connection
        except DBAPIError as error:
            if type(error) not in _TOLD:
                raise
            raise _told(error, self.root) from error

    @contextmanager
    def _advisory_lock(self) -> Iterator[None]:
        with self.autocommit() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _MAINTAINER_LOCK}):
                raise StoreBusyError("another lethe command maintains this database; run this again when it ends")
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MAINTAINER_LOCK})

    def _migrate(self, *, create: bool) -> None:
        version = self._version()
        if version == HEAD:
            return
        if version is None and not create:
            raise LetheError(f"the database of {self.root} holds no lethe tables; run `lethe ingest` first")
        if version is not None and version > HEAD:
            raise LetheError(f"the store is of schema {version}, newer than this lethe ({HEAD}); upgrade lethe")
        from db.migrate import upgrade  # Alembic is slow to import and almost never needed

        with self.writing() as unit:
            upgrade(unit.connection)
            if unit.connection.scalar(select(meta.c.value).where(meta.c.key == "data_epoch")) is None:
                unit.connection.execute(meta.insert(), [{"key": "data_epoch", "value": "0"}, _identity()])
            unit.commit()

    def _version(self) -> str | None:
        with self._connection(write=False) as connection:
            if not self.engine.dialect.has_table(connection, "alembic_version"):
                return None
            return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def suppression_key(root: Path) -> bytes:
    """The key under which suppressed ids are hashed; made once, readable by the owner alone."""
    path = root / "suppression.key"
    if not path.exists():
        handle = os.open(path.with_suffix(".tmp"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".tmp").replace(path)
    return path.read_bytes()


def _identity() -> dict[str, str]:
    return {"key": "store_id", "value": secrets.token_hex(16)}


_TOLD = (OperationalError, DatabaseError, DataError)
"""What a person can put right: unreachable, damaged, or a value that the database cannot hold."""


def _told(error: DBAPIError, root: Path) -> LetheError:
    reason = " ".join(str(error.orig).split())
    if "locked" in reason or "busy" in reason:
        return StoreBusyError(f"the store in {root} is busy; nothing was changed, run this again")
    return LetheError(f"the database of {root} cannot be used: {reason}; check LETHE_DB, or restore it from a backup")


def _engine(url: str) -> Engine:
    if url.startswith("sqlite:///"):
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if url.startswith(("postgresql://", "postgresql+psycopg://")):
        try:
            return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
        except (ArgumentError, ValueError) as error:
            raise LetheError("LETHE_DB is no database address; write postgresql://USER@HOST/DATABASE") from error
        except ModuleNotFoundError as error:
            raise LetheError("PostgreSQL needs psycopg; install lethe-rec[postgres]") from error
    raise LetheError(f"LETHE_DB={url.split(':', 1)[0]}:… is of no known kind; use sqlite:///FILE or postgresql://…")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None  # SQLAlchemy's begin event below speaks for us
        for pragma in ("journal_mode=WAL", "secure_delete=ON", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("lethe_begin", "DEFERRED")
    if mode:
        connection.exec_driver_sql(f"BEGIN {mode}")
