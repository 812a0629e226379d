"""What must hold right after a kill, and what must hold once the same command was run again.

Everything is read from the files themselves with sqlite3 and polars, not through the code under test.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from tests.kill.world import World

Rows = list[tuple[Any, ...]]
LISTS = "recommendations.parquet"
TOP = 10


@contextmanager
def opened(root: Path) -> Iterator[sqlite3.Connection]:
    """The root's database."""
    with closing(sqlite3.connect(root / "lethe.db")) as connection:
        yield connection


def asked(root: Path, statement: str, *values: Any) -> Rows:
    """The rows of a query; none where the database holds no tables yet."""
    if not (root / "lethe.db").exists():
        return []
    with opened(root) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone():
            return []
        return connection.execute(statement, values).fetchall()


def data(root: Path) -> dict[str, Rows]:
    """The people, items and interactions that are not hidden, with ids instead of keys."""
    rows = """SELECT u.user_id, i.item_id, x.rating, x.timestamp, x.split, x.split_time FROM interactions x
              JOIN users u ON u.id = x."user" JOIN items i ON i.id = x.item WHERE x.hidden_by IS NULL ORDER BY 1, 2"""
    return {
        "people": asked(root, "SELECT user_id FROM users WHERE hidden_by IS NULL ORDER BY 1"),
        "items": asked(root, "SELECT item_id, title, year FROM items ORDER BY 1"),
        "interactions": asked(root, rows),
    }


def lists(root: Path) -> dict[str, int]:
    """Published list rows by person, as the database has them."""
    statement = 'SELECT u.user_id, count(*) FROM recommendations r JOIN users u ON u.id = r."user" GROUP BY 1'
    return dict(asked(root, statement))


def file_lists(path: Path) -> dict[str, int]:
    """List rows by person in a Parquet file."""
    return dict(Counter(pl.read_parquet(path)["user"].to_list()))


def hidden(root: Path) -> set[str]:
    """People whom an open request hides altogether."""
    return {row[0] for row in asked(root, "SELECT user_id FROM users WHERE hidden_by IS NOT NULL")}


def states(root: Path) -> dict[str, str]:
    """State by request."""
    return dict(asked(root, "SELECT id, state FROM forget_requests"))


def sound(world: World) -> None:
    """Whatever was killed, at once: a sound database, whole generations, nobody hidden in what readers read."""
    root = world.root
    if not (root / "lethe.db").exists():
        return
    with opened(root) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    live = asked(root, "SELECT kind, path FROM artifacts WHERE state = 'live' AND kind <> 'recommendations'")
    broken = [path for _, path in live if not _whole(root / path)]
    assert not broken, f"readers are switched to generations that are not whole: {broken}"
    assert not hidden(root).intersection(lists(root)), "a hidden person has a published list"
    final = [path for path in root.rglob("*.parquet") if not any(part.endswith(".tmp") for part in path.parts)]
    assert all(_reads(path) for path in final), "a half-written Parquet file under its final name"


def unreadable(world: World, user: str) -> None:
    """No command tells anything of this person any more."""
    ended = world.lethe("recommend", user)
    assert ended.status == 1, f"recommend still answers for a forgotten person: {ended.out}"
    assert "no data for this user" in ended.err
    assert user not in lists(world.root)


def tidy(world: World) -> None:
    """After the next maintenance: nothing temporary, no orphan, no unfinished job, no step done twice."""
    root = world.root
    left = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix == ".tmp"]
    left += [path.relative_to(root).as_posix() for name in ("jobs", "tmp") for path in (root / name).glob("*")]
    known = {path for (path,) in asked(root, "SELECT path FROM artifacts WHERE state = 'live'")}
    found = {path.relative_to(root).as_posix() for path in (root / "artifacts").glob("*/*/gen-*")}
    gone = sorted(path for path in known if not (root / path).exists())
    assert not left, f"left behind: {left}"
    assert found <= known, f"orphans: {sorted(found - known)}"
    assert not gone, f"registered but not there: {gone}"
    assert asked(root, "SELECT id FROM jobs WHERE state = 'running'") == [], "a job is stuck"
    single(root)


def single(root: Path) -> None:
    """Nothing that is written once is there twice, and the ledger's chain is whole."""
    for statement in (
        "SELECT request, event FROM ledger WHERE request IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1",
        "SELECT request, layer, action, artifact FROM receipts GROUP BY 1, 2, 3, 4 HAVING count(*) > 1",
        "SELECT request, audit FROM verdicts GROUP BY 1, 2 HAVING count(*) > 1",
        "SELECT kind, name, mode FROM artifacts WHERE state = 'live' GROUP BY 1, 2, 3 HAVING count(*) > 1",
        "SELECT kind, name, sha256, counts FROM sources GROUP BY 1, 2, 3, 4 HAVING count(*) > 1",
        "SELECT path, sha256 FROM exports GROUP BY 1, 2 HAVING count(*) > 1",
    ):
        twice = asked(root, statement)
        assert not twice, f"doubled: {twice} by {statement}"
    links = asked(root, "SELECT previous, hash FROM ledger ORDER BY seq")
    assert all(before[1] == after[0] for before, after in itertools.pairwise(links)), "ledger torn"


def published(world: World, path: Path | None = None) -> None:
    """Everybody who is visible has exactly one whole list, in the database and in the file, and nobody else has."""
    people = {user for (user,) in data(world.root)["people"]}
    wanted = dict.fromkeys(people, TOP)
    assert lists(world.root) == wanted, "lists in the database are lost, doubled or of somebody hidden"
    assert file_lists(path or world.root / LISTS) == wanted, "lists in the file are lost, doubled or of somebody hidden"


def reduced(world: World) -> None:
    """Every request but the one of before is reduced and open, says by what, and nothing of it is purged or exact."""
    recent = asked(world.root, "SELECT id, state, epoch, user_id FROM forget_requests ORDER BY epoch")[1:]
    assert {state for _, state, _, _ in recent} == {"reduced"}, f"a request is stuck: {recent}"
    assert all(user for *_, user in recent), "a request that is open was purged"
    assert asked(world.root, "SELECT count(*) FROM interactions WHERE hidden_by IS NOT NULL")[0][0], "hidden rows went"
    ((epoch, settings),) = asked(
        world.root, "SELECT data_epoch, settings FROM artifacts WHERE kind = 'backbone' AND state = 'live'"
    )
    newest = max(found for _, _, found, _ in recent)
    assert epoch < newest <= json.loads(settings)["reduced_to"], "a generation passes for what it is not"
    statement = "SELECT count(*) FROM receipts WHERE request = ? AND action = 'scif' AND NOT exact"
    assert all(asked(world.root, statement, request) == [(1,)] for request, *_ in recent)
    audits = "SELECT count(*) FROM verdicts WHERE request = ? AND audit LIKE 'oracle-%'"
    assert all(asked(world.root, audits, request) == [(4,)] for request, *_ in recent)
    handed = json.loads(world.certificate.read_text())["certificates"]
    assert [one["grade"] for one in handed] == ["reduced"] * len(recent), (
        "certificates lost, doubled or of another grade"
    )


def erased(world: World) -> None:
    """Every request is erased, its certificate was handed over once, and `verify` with it finds nothing."""
    requests = states(world.root)
    assert set(requests.values()) == {"erased"}, f"a request is stuck: {requests}"
    assert asked(world.root, "SELECT name FROM forget_steps WHERE done_at IS NULL") == []
    assert world.certificate.exists(), "no certificate was handed over"
    documents = json.loads(world.certificate.read_text())["certificates"]
    handed = Counter(document["request"] for document in documents)
    recent = asked(world.root, "SELECT id FROM forget_requests ORDER BY epoch")[1:]  # one was erased before the case
    assert handed == {request: 1 for (request,) in recent}, f"certificates lost or doubled: {handed}"
    assert not list((world.root / "certificates" / "pending").glob("*")), "the root still knows whom it is about"
    for (request,) in recent:
        world.right("verify", request, "--certificate", str(world.certificate))


def _whole(folder: Path) -> bool:
    manifest = folder / "manifest.json"
    return manifest.exists() and bool(json.loads(manifest.read_text()))


def _reads(path: Path) -> bool:
    try:
        pl.read_parquet_schema(path)
    except (pl.exceptions.ComputeError, OSError):
        return False
    return True
