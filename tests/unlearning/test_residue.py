"""The residue scan finds a planted person in every format, and nobody where nobody is."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from db.records import UserId
from unlearning.audit import needles, residue

PERSON, OTHER = UserId("5f1d9c0e7a2b4d68a3c15f1d9c0e7a2b"), UserId("00d9c0e7a2b4d68a3c15f1d9c0e7a200")


def sqlite_row(folder, user):
    with closing(sqlite3.connect(folder / "people.db")) as connection:
        connection.execute("CREATE TABLE people (user_id TEXT)")
        connection.execute("INSERT INTO people VALUES (?)", (user,))
        connection.commit()


def sqlite_log(folder, user):
    with closing(sqlite3.connect(folder / "source")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE notes (words TEXT)")
        connection.execute("INSERT INTO notes VALUES (?)", (f"about {user}",))
        connection.commit()
        (folder / "people.db-wal").write_bytes((folder / "source-wal").read_bytes())
    (folder / "source").unlink()


def parquet_dictionary(folder, user):
    pl.DataFrame({"user": [user] * 500}).write_parquet(folder / "lists.parquet", compression="zstd")


def safetensors_header(folder, user):
    save_file({"x": np.zeros(3)}, folder / "model.safetensors", metadata={"user": user})


PLANTS = {
    "sqlite row": sqlite_row,
    "sqlite log": sqlite_log,
    "parquet dictionary": parquet_dictionary,
    "safetensors": safetensors_header,
    "json": lambda folder, user: (folder / "a.json").write_text(json.dumps({"users": [{"id": user}]})),
    "json lines": lambda folder, user: (folder / "a.jsonl").write_text(json.dumps({"user": user}) + "\n"),
    "csv": lambda folder, user: (folder / "a.csv").write_text(f"line,user\n1,{user}\n"),
    "report": lambda folder, user: (folder / "a.html").write_text(f"<b>{user}</b>"),
    "hex": lambda folder, user: (folder / "a.md").write_text(user.encode().hex()),
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
def test_a_planted_person_is_found_and_somebody_else_is_not(tmp_path, plant):
    plant(tmp_path, PERSON)
    assert residue.scan(tmp_path, [residue.needle(PERSON)])
    assert residue.scan(tmp_path, [residue.needle(OTHER)]) == []


def test_compressed_ids_are_found_where_a_search_of_bytes_finds_nothing(tmp_path):
    """Why the scan decodes: 42 is nowhere in the bytes that could be told from chance."""
    pl.DataFrame({"user": ["42", "7"] * 50, "item": ["142", "421"] * 50}).write_parquet(tmp_path / "a.parquet")
    assert residue.scan(tmp_path, [residue.needle(UserId("42"))])
    assert residue.scan(tmp_path, [residue.needle(UserId("142"))]) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("orphan.tmp", b"\0\1"),
        ("backup.bak", b"anything"),
        ("noname", b"anything"),
        ("broken.json", b"{"),
        ("broken.parquet", b"PAR1 nothing"),
        ("broken.db", b"not a database" * 100),
        ("broken.csv", b"user\n\xff\xfe\n"),
        ("broken.safetensors", b"\xff" * 8 + b"{"),
    ],
)
def test_a_file_that_cannot_be_understood_is_a_finding_whoever_is_looked_for(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (finding,) = residue.scan(tmp_path, [residue.needle(PERSON)])
    assert finding.path == name


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_a_history_is_found_as_the_bytes_of_an_array(tmp_path, kind):
    history = [130, 101, *range(104, 128, 3)]
    np.save(tmp_path / "batch.npy", np.array([1, 2, *history, 3], dtype=kind))
    assert residue.scan(tmp_path, [residue.needle(PERSON, histories=[[5] * 9, history])])
    assert residue.scan(tmp_path, [residue.needle(PERSON, histories=[history[::-1]])]) == []
    np.save(tmp_path / "batch.npy", np.array([1, 2, *sorted(history), 3], dtype=kind))
    assert residue.scan(tmp_path, [residue.needle(PERSON, histories=[history])])


def test_a_history_that_tells_nothing_is_not_looked_for(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(50))
    assert residue.scan(tmp_path, [residue.needle(PERSON, histories=[range(3, 20), [7, 3, 9]])]) == []


def test_a_trace_across_two_blocks_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(needles, "BLOCK", 64)
    (tmp_path / "a.md").write_bytes(b"x" * 50 + PERSON.encode() + b"x" * 50)
    assert residue.scan(tmp_path, [residue.needle(PERSON)])


def test_a_database_outside_the_root_is_searched_under_whatever_name(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "people.of.2026"
    root.mkdir()
    sqlite_row(tmp_path, PERSON)
    (tmp_path / "people.db").rename(elsewhere)
    assert residue.scan(root, [residue.needle(PERSON)]) == []
    found = residue.scan(root, [residue.needle(PERSON)], also=[elsewhere])
    assert {finding.path for finding in found} == {str(elsewhere)}
    assert {finding.what for finding in found} == {"a person's id", "bytes of a person's traces"}
    assert residue.scan(root, [residue.needle(OTHER)], also=[elsewhere]) == []


def test_a_database_inside_the_root_is_searched_once(tmp_path):
    sqlite_row(tmp_path, PERSON)
    needles = [residue.needle(PERSON)]
    assert residue.scan(tmp_path, needles, also=[tmp_path / "people.db"]) == residue.scan(tmp_path, needles)


def test_the_verdict_carries_a_control_in_every_format_and_leaves_no_trace_of_it(tmp_path):
    found = residue.verdict(tmp_path, [residue.needle(PERSON)])
    assert (found.passed, found.value, found.control) == (True, 0.0, 8.0)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / "a.json").write_text(json.dumps({"user": PERSON}))
    assert not residue.verdict(tmp_path, [residue.needle(PERSON)]).passed
    assert residue.verdict(tmp_path, [residue.needle(PERSON)], skip=[tmp_path / "a.json"]).passed


def test_a_scan_that_sees_nothing_is_void_not_passed(tmp_path, monkeypatch):
    monkeypatch.setattr(residue, "_scan_file", lambda *_: iter(()))
    found = residue.verdict(tmp_path, [residue.needle(PERSON)])
    assert (found.void, found.passed) == (True, False)
