"""A private PostgreSQL server for the tests: its own folder, a unix socket only, stopped with the session."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

USER = "lethe"
REQUIRED = "LETHE_REQUIRE_POSTGRES"
DEBIAN = Path("/usr/lib/postgresql")  # Debian keeps the server's programs here, off the PATH
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # the tests kill clients, never the machine
    "shared_buffers": "32MB",
    "max_connections": "40",
    "logging_collector": "off",
}


class NoServerError(Exception):
    """No server can be started here; the message says what is missing."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account that the server runs under; PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Server:
    """A running server. `data` is its data folder, for a test that looks for residue in the files."""

    sockets: Path
    data: Path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str) -> str:
        """The SQLAlchemy address of a database on this server."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.sockets}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a new, empty database that is dropped at the end, open connections or not."""
        name = f"test_{next(self.numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield self.url(name)
        finally:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction, as CREATE and DROP DATABASE need."""
        import psycopg

        with psycopg.connect(host=str(self.sockets), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)


def programs() -> Path:
    """The folder of `initdb` and `postgres`: the newest Debian package, or else what the PATH names."""
    packaged = [folder for folder in DEBIAN.glob("*/bin") if (folder / "postgres").exists()]
    if packaged:
        return max(packaged, key=lambda folder: float(folder.parent.name))
    found = shutil.which("postgres")
    if found is None:
        raise NoServerError("no PostgreSQL server here (Debian: apt-get install postgresql)")
    return Path(found).resolve().parent


def account() -> Account | None:
    """Whom to run the server as: None for ourselves, or an unprivileged account when we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise NoServerError("PostgreSQL does not run as root, and there is neither a postgres nor a nobody account")


def popen(command: list[str], runner: Account | None, folder: Path) -> subprocess.Popen[str]:
    """Start a program under the server's account, its output kept in `folder`/log; it dies with the test process."""
    leash = ["setpriv", "--pdeathsig", "INT", "--"] if shutil.which("setpriv") else []
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            leash + command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            text=True,
            start_new_session=True,
            user=runner.uid if runner else None,
            group=runner.gid if runner else None,
            extra_groups=[] if runner else None,
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """A server for as long as the block lasts; NoServerError names what this machine lacks."""
    if importlib.util.find_spec("psycopg") is None:
        raise NoServerError("psycopg is not installed (the extra `postgres` brings it)")
    binaries, runner = programs(), account()
    folder = Path(tempfile.mkdtemp(prefix="lethe-pg-"))  # short: a socket's path holds about 100 characters
    try:
        if runner:
            os.chown(folder, runner.uid, runner.gid)
        server = Server(sockets=folder, data=folder / "data")
        make_cluster(binaries, runner, server)
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(server.data), "-k", str(folder), *options]
        process = popen(command, runner, folder)
        try:
            wait_until_ready(server, process)
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_cluster(binaries: Path, runner: Account | None, server: Server) -> None:
    """Lay out an empty cluster whose one user needs no password; its socket's folder is private."""
    options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command = [str(binaries / "initdb"), "-D", str(server.data), *options]
    if popen(command, runner, server.sockets).wait(timeout=120) != 0:
        raise RuntimeError(f"initdb failed:\n{(server.sockets / 'log').read_text()}")


def wait_until_ready(server: Server, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    """Return when the server answers; RuntimeError with its log when it stops or does not answer in time."""
    import psycopg

    end = time.monotonic() + seconds
    while True:
        try:
            return server.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > end:
                log = (server.sockets / "log").read_text()
                raise RuntimeError(f"the PostgreSQL server does not answer:\n{log}") from error
            time.sleep(0.05)
