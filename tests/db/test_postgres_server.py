"""The server that the store's conformance suite runs on, proven by itself."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from tests import postgres
from tests.postgres import NoServerError, Server


def tables(url: str) -> list[str]:
    engine = create_engine(url)
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


def test_a_database_takes_rows_and_gives_them_back(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE person (name text)"))
        connection.execute(text("INSERT INTO person VALUES ('Zoë')"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT name FROM person")) == "Zoë"
        assert connection.scalar(text("SHOW server_encoding")) == "UTF8"
    engine.dispose()


def test_databases_are_apart_and_gone_afterwards_even_with_a_connection_open(postgres_server: Server) -> None:
    with postgres_server.database() as first, postgres_server.database() as second:
        engine = create_engine(first)
        connection = engine.connect()
        connection.execute(text("CREATE TABLE mine (x int)"))
        connection.commit()
        assert tables(first) == ["mine"]
        assert tables(second) == []
    with pytest.raises(Exception, match=r"terminating connection|does not exist|closed"):
        connection.execute(text("SELECT 1"))
    connection.invalidate()
    engine.dispose()
    with postgres_server.database() as third:
        assert tables(third) == []


def test_the_server_is_private(postgres_server: Server, postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW listen_addresses")) == ""
    engine.dispose()
    assert stat.S_IMODE(postgres_server.sockets.stat().st_mode) == 0o700
    assert (postgres_server.data / "PG_VERSION").exists()


def test_a_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServerError, match="apt-get install postgresql"), postgres.running_server():
        pass


@pytest.mark.parametrize(("required", "outcome"), [("1", "failed"), ("0", "skipped")])
def test_where_a_server_is_required_a_skip_is_a_failure(required: str, outcome: str, tmp_path: Path) -> None:
    """In a pytest of its own, on a machine made to look as if it had no server."""
    (tmp_path / "test_it.py").write_text(
        "from pathlib import Path\n"
        "from tests import postgres\n"
        "from tests.conftest import postgres_server, postgres_url\n"
        "postgres.DEBIAN = Path('nowhere')\n"
        "def test_it(postgres_url): assert postgres_url\n"
    )
    root = Path(__file__).parents[2]
    environment = {"PATH": str(tmp_path), "LETHE_REQUIRE_POSTGRES": required, "PYTHONPATH": str(root)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"1 {'error' if outcome == 'failed' else outcome}" in result.stdout
    assert (result.returncode != 0) == (outcome == "failed")


def test_nothing_is_left_behind(postgres_server: Server) -> None:
    with postgres.running_server() as server:
        process = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(process, 0)
    assert not server.sockets.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
