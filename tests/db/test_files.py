"""Many files at once: each is whole, and their folder is synced once for all of them."""

import json
import os
from pathlib import Path

from db import files


def test_many_documents_are_written_whole_with_one_sync_of_their_folder(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    place = Path("/proc/self/fd")
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append((place / str(handle)).readlink().as_posix()), fsync(handle))
    )
    documents = {tmp_path / "new" / f"{n}.json": {"number": n, "word": "ü"} for n in range(5)}
    files.write_all(documents)
    assert [json.loads(path.read_text(encoding="utf-8")) for path in documents] == list(documents.values())
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [f"{n}.json" for n in range(5)]
    assert synced.count(str(tmp_path / "new")) == 1
    assert len(synced) == 6
    assert synced[-1] == str(tmp_path / "new"), "the names are made durable after the bytes"
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    files.write_json(one, {"a": [1]})
    files.write_all({other: {"a": [1]}})
    assert one.read_bytes() == other.read_bytes()


def test_many_files_are_removed_and_absent_ones_are_fine(tmp_path, monkeypatch):
    paths = [tmp_path / f"{n}.json" for n in range(4)]
    files.write_all({path: {} for path in paths[:3]})
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    files.destroy_all([*paths, tmp_path / "nowhere" / "x.json"])
    assert list(tmp_path.iterdir()) == []
    assert len(synced) == 1
