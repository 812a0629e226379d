"""A SQLite database that LETHE_DB puts outside the root is erased, and searched, like one inside."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.pipelines.commands import SOMEBODY, Lethe, erased, forgotten, subjects_file


@pytest.fixture
def elsewhere(tmp_path, trained_once, monkeypatch):
    """A trained root without a database, and the command line told where the database lies."""
    database = tmp_path / "kept" / "people.sqlite3"
    database.parent.mkdir()
    shutil.copytree(trained_once, tmp_path / "root", ignore=shutil.ignore_patterns("lethe.db*"))
    shutil.copy(trained_once / "lethe.db", database)
    monkeypatch.setenv("LETHE_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("LETHE_DB", f"sqlite:///{database}")
    lethe = Lethe(tmp_path / "root", f"sqlite:///{database}")
    yield lethe, database
    lethe.close()


def change(database, statement, *values):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, values)


def test_the_files_of_the_database_are_found_where_they_lie(elsewhere):
    lethe, database = elsewhere
    with lethe.store.reading():
        names = {path.name for path in lethe.store.database_files()}
    assert {"people.sqlite3", "people.sqlite3-wal", "people.sqlite3-shm"} >= names > {"people.sqlite3"}
    assert lethe.store.database_files()[0] == database
    assert list(lethe.root.glob("*.db*")) == []


def test_nobody_is_left_in_it_after_an_erase(elsewhere):
    lethe, database = elsewhere
    assert SOMEBODY.encode() in database.read_bytes()
    request = forgotten(lethe, SOMEBODY)
    erased(lethe)
    lethe.ok("verify", request, "--certificate", subjects_file(lethe))
    assert [path.name for path in database.parent.iterdir() if SOMEBODY.encode() in path.read_bytes()] == []


def test_what_somebody_wrote_into_it_keeps_the_request_open(elsewhere):
    lethe, database = elsewhere
    request = forgotten(lethe, SOMEBODY)
    change(database, "CREATE TABLE notes (words TEXT)")
    change(database, "INSERT INTO notes VALUES (?)", f"{SOMEBODY} has called")
    unfinished = lethe("erase")
    assert unfinished.status == 75
    assert f"{database}: bytes of a person's traces" in unfinished.err
    assert lethe("verify", request).status == 1
    change(database, "DROP TABLE notes")
    erased(lethe)
    lethe.ok("verify", request, "--certificate", subjects_file(lethe))
    change(database, "CREATE TABLE notes (user_id TEXT)")
    change(database, "INSERT INTO notes VALUES (?)", SOMEBODY)
    refused = lethe("verify", request, "--certificate", subjects_file(lethe))
    assert refused.status == 1
    assert "FAILED  residue" in refused.out
