"""After purge and scrub no byte of a person is left in the database's own files, whatever happened before."""

import random
import shutil
import uuid

import pytest
from sqlalchemy import text

from db import catalogue, purge, requests
from db.errors import StoreBusyError
from db.records import Item, ItemId, Selection, UserId
from db.store import Store
from tests.db.conftest import NOW

ITEMS = [Item(ItemId(f"i{n}"), f"Film {n}", 1990, ("Drama",)) for n in range(40)]


def canary(rng):
    """A 128-bit id, which stands nowhere by chance."""
    return UserId(uuid.UUID(int=rng.getrandbits(128)).hex)


def add(store, people, rng, rows=6):
    with store.writing() as unit:
        catalogue.put_users(unit, people)
        keys = {user: stored.key for user, stored in catalogue.stored_users(unit).items()}
        items = list(catalogue.item_keys(unit).values())
        added = [(keys[u], i, 4.0, rng.randrange(10**9), 0, 0) for u in people for i in rng.sample(items, rows)]
        catalogue.put_interactions(unit, added)
        catalogue.bump_epoch(unit)
        unit.commit()


def forget(store, people):
    with store.writing() as unit:
        made = [requests.shield(unit, user, Selection(), now=NOW) for user in people]
        unit.commit()
    return [request.id for request in made]


def purged(store, ids):
    with store.writing() as unit:
        purge.purge(unit, ids)
        unit.commit()


def holding(folder, needle):
    """Files whose bytes hold the text."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found if needle.encode() in path.read_bytes())


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A store with items and nobody in it."""
    root = tmp_path_factory.mktemp("blank") / "root"
    store = Store.open(root, create=True)
    with store.writing() as unit:
        catalogue.put_items(unit, ITEMS)
        unit.commit()
    store.close()
    return root


@pytest.mark.parametrize("seed", range(30))
def test_a_random_history_leaves_nothing_in_sqlite(blank, tmp_path, seed):
    rng = random.Random(seed)
    root = tmp_path / "root"
    shutil.copytree(blank, root)
    store = Store.open(root)
    gone = canary(rng)
    others = [canary(rng) for _ in range(rng.randrange(40))]
    arrival = rng.randrange(len(others) + 1)
    add(store, [*others[:arrival], gone, *others[arrival:]], rng)
    for _ in range(rng.randrange(4)):  # people come and go: pages are freed, split, used again
        leaving = rng.sample(others, min(len(others), rng.randrange(5)))
        purged(store, forget(store, leaving))
        others = [user for user in others if user not in leaving] + [canary(rng) for _ in range(rng.randrange(6))]
        with store.reading() as unit:
            known = catalogue.stored_users(unit)
        add(store, [user for user in others if user not in known], rng)
        if rng.random() < 0.3:
            purge.scrub(store)
    assert holding(root, gone)
    purged(store, forget(store, [gone]))
    purge.scrub(store)
    assert holding(root, gone) == []
    store.close()


def test_while_a_reader_holds_old_pages_it_is_not_called_done(blank, tmp_path):
    root, rng = tmp_path / "root", random.Random(1)
    shutil.copytree(blank, root)
    store = Store.open(root)
    gone = canary(rng)
    add(store, [gone], rng)
    ids = forget(store, [gone])
    with store.reading() as unit:
        catalogue.epoch(unit)
        purged(store, ids)
        with pytest.raises(StoreBusyError, match="run `lethe erase` again"):
            purge.scrub(store, sleep=lambda seconds: None)
        assert holding(root, gone)
    purge.scrub(store)
    assert holding(root, gone) == []
    store.close()


@pytest.mark.parametrize("others", [200, 0])
def test_postgresql_keeps_nothing_in_its_data_folder(postgres_server, postgres_url, tmp_path, others):
    """Heap, index, statistics (the person is in every histogram) and write-ahead log."""
    rng = random.Random(others)
    store = Store.open(tmp_path / "root", postgres_url, create=True)
    with store.writing() as unit:
        catalogue.put_items(unit, ITEMS)
        unit.commit()
    gone = canary(rng)
    add(store, [*(canary(rng) for _ in range(others)), gone], rng)
    with store.autocommit() as connection:
        connection.execute(text("ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    before = holding(postgres_server.data, gone)
    ids = forget(store, [gone])
    with store.autocommit() as connection:
        connection.execute(text("ANALYZE"))
    purged(store, ids)
    limits = purge.scrub(store)
    assert len(before) >= 3
    assert any(name.startswith("pg_wal/") for name in before)
    assert any(name.startswith("base/") for name in before)
    assert holding(postgres_server.data, gone) == []
    assert limits == ["files of the PostgreSQL server lie outside the root: the residue scan cannot read them"]
    store.close()


def test_postgresql_keeps_nothing_in_log_it_has_recycled(postgres_server, postgres_url, tmp_path):
    """Segments ahead of the one being written hold the pages they held before: no VACUUM reaches them."""
    rng = random.Random(7)
    store = Store.open(tmp_path / "root", postgres_url, create=True)
    with store.writing() as unit:
        catalogue.put_items(unit, ITEMS)
        unit.commit()
    gone = canary(rng)
    with store.autocommit() as connection:
        for statement in ("ALTER SYSTEM SET wal_recycle = on", "SELECT pg_reload_conf()", "SELECT pg_sleep(1)"):
            connection.execute(text(statement))
    add(store, [gone], rng)
    with store.autocommit() as connection:
        for statement in ("SELECT pg_switch_wal()", "CHECKPOINT"):
            connection.execute(text(statement))
        ahead = connection.scalars(
            text("SELECT name FROM pg_ls_waldir() WHERE name > pg_walfile_name(pg_current_wal_insert_lsn())")
        ).all()
    recycled = [name for name in holding(postgres_server.data, gone) if name.removeprefix("pg_wal/") in ahead]
    purged(store, forget(store, [gone]))
    limits = purge.scrub(store)
    assert recycled
    assert holding(postgres_server.data, gone) == []
    assert len(limits) == 1
    store.close()
