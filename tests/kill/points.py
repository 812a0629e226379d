"""The moments of a command after which something is durable, each a place to kill it or to stop it for a while.

Counted in the process that runs the command: before and after every commit, before every rename, removal and new
folder, before every fsync (once with the file whole and once with half of it), and in the middle of a VACUUM.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from db.store import Store, Unit

_VACUUM_OPCODES = 50
"""SQLite instructions into a VACUUM at which a kill is in its middle."""


class Points:
    """Counts the points of this process, writes each down, and kills or stops the process at the one that is asked."""

    def __init__(self, watched: Path, trace: Path, *, kill_at: int = 0, stop_at: int = 0) -> None:
        self.watched, self.kill_at, self.stop_at, self.count = str(watched), kill_at, stop_at, 0
        self.trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def reach(self, label: str, damage: Callable[[], object] = lambda: None) -> None:
        """A point: `damage` is what a kill right here leaves behind it."""
        self.count += 1
        os.write(self.trace, f"{label}\n".encode())
        if self.count == self.kill_at:
            damage()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == self.stop_at:
            os.kill(os.getpid(), signal.SIGSTOP)

    def install(self) -> None:
        """Watch this process from now on."""
        self._watch_files()
        self._watch_fsync()
        self._watch_commits()
        self._watch_vacuum()

    def _watch_files(self) -> None:
        def heard(name: str, details: tuple[Any, ...]) -> None:
            if name in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                path = os.fspath(details[0])
                if str(path).startswith(self.watched) or details[-1] != -1:
                    self.reach(f"{name.removeprefix('os.')} {Path(str(path)).name}")

        sys.addaudithook(heard)

    def _watch_fsync(self) -> None:
        real = os.fsync

        def fsync(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            found = os.fstat(handle)
            if stat.S_ISREG(found.st_mode) and found.st_size:
                self.reach(f"torn {path.name}", lambda: os.truncate(path, found.st_size // 2))
            self.reach(f"fsync {path.name}")
            real(handle)

        os.fsync = fsync  # type: ignore[assignment]

    def _watch_commits(self) -> None:
        real, writing = Unit.commit, Store.writing

        def commit(unit: Unit) -> None:
            self.reach("commit")
            real(unit)
            self.reach("committed")

        def begun(store: Store) -> Any:
            self.reach("begin")
            return writing(store)

        Unit.commit = commit  # type: ignore[method-assign]
        Store.writing = begun  # type: ignore[method-assign]

    def _watch_vacuum(self) -> None:
        real = Connection.exec_driver_sql

        def run(connection: Connection, statement: str, *rest: Any, **options: Any) -> Any:
            watched = statement.startswith(("VACUUM", "PRAGMA wal_checkpoint"))
            if watched:
                self.reach(f"before {statement}")
            if statement == "VACUUM":
                self._inside(connection)
            result = real(connection, statement, *rest, **options)
            if watched:
                self.reach(f"after {statement}")
            return result

        Connection.exec_driver_sql = run  # type: ignore[assignment, method-assign]

    def _inside(self, connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        waiting = iter(range(1, _VACUUM_OPCODES + 1))

        def step() -> None:
            if next(waiting, 0) == _VACUUM_OPCODES:
                self.reach("inside VACUUM")

        driver.set_progress_handler(step, 10)
