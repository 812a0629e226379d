"""Writing a data set into the store: whole or nothing, twice is once, and the forgotten stay out."""

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import select

from db import catalogue, ledger, purge, requests, suppression
from db.load import load_log
from db.log import SPLITS
from db.records import Item, ItemId, Selection, Split, UserId
from db.schema import metadata, sources
from db.store import Store
from pipelines.ingest.job import ingest
from pipelines.ingest.read import read_files, read_ml100k, read_movielens
from recsys.splits import SplitRecipe
from tests.pipelines import ingest_files as files

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOVIES = "movieId,title,genres\n" + "".join(f"{n},Film {n} ({1980 + n}),Drama\n" for n in range(12))
CANARY = UserId("canary-5f1d9c0e7a2b4d68a3c1")


BOTH = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def store(request, tmp_path):
    """An empty store: SQLite, or what `BOTH` asks for."""
    url = request.getfixturevalue("postgres_url") if getattr(request, "param", "sqlite") == "postgresql" else None
    opened = Store.open(tmp_path / "root", url, create=True)
    yield opened
    opened.close()


def dataset(root, rows, movies=MOVIES):
    lines = "".join(f"{user},{item},{rating},{at}\n" for user, item, rating, at in rows)
    return read_movielens(files.movielens_csv(root, "userId,movieId,rating,timestamp\n" + lines, movies))


def grid(*users, items=10):
    """Every user with the first items, one contact a second."""
    return [(user, item, 4.0, 100 + 20 * item + place) for place, user in enumerate(users) for item in range(items)]


def everything(store):
    with store.reading() as unit:
        return {table.name: unit.connection.execute(select(table)).all() for table in metadata.sorted_tables}


def log(store, **options):
    with store.reading() as unit:
        return load_log(unit, **options)


def pairs(store):
    rows = log(store)
    return {(rows.users[u], rows.items[i]) for u, i in zip(rows.user, rows.item, strict=True)}


def forget(store, user, selection=None, *, erase=True):
    with store.writing() as unit:
        request = requests.shield(unit, UserId(user), selection or Selection(), now=NOW)
        if erase:
            purge.purge(unit, [request.id])
            requests.close(unit, [request.id], at=NOW)
        unit.commit()


@BOTH
def test_everything_arrives(store, tmp_path):
    data = dataset(tmp_path, [("a", 3, 4.5, 100), ("a", 1, "", 50), ("b", 3, 1, "")])
    summary = ingest(store, data, now=NOW)
    assert (summary.added, summary.users_added, summary.items_added, summary.epoch) == (3, 2, 12, 1)
    rows = log(store)
    assert [
        (rows.users[u], rows.items[i], t) for u, i, t in zip(rows.user, rows.item, rows.timestamp, strict=True)
    ] == [("b", "3", 0), ("a", "1", 50), ("a", "3", 100)]
    np.testing.assert_array_equal(rows.rating, np.array([1, np.nan, 4.5], dtype=np.float32))
    with store.reading() as unit:
        assert catalogue.load_items(unit)[3] == Item(ItemId("3"), "Film 3", 1983, ("Drama",))


@BOTH
def test_the_same_file_twice_changes_nothing(store, tmp_path):
    data = dataset(tmp_path, [*grid("a", "b"), ("a", 3, 2.0, 5)])
    first = ingest(store, data, now=NOW)
    before = everything(store)
    second = ingest(store, data, now=NOW)
    assert everything(store) == before
    assert (first.added, first.duplicates, first.changed) == (20, 1, True)
    assert (second.added, second.unchanged, second.changed, second.epoch) == (0, 20, False, first.epoch)
    assert second.items_unchanged == 12


@BOTH
def test_later_contacts_replace_and_earlier_ones_do_not(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", [("a", 0, 3, 100), ("a", 1, 3, 100), ("a", 2, 3, ""), *grid("b")]), now=NOW)
    before = log(store)
    later = [("a", 0, 5, 200), ("a", 1, 5, 50), ("a", 2, 5, 70), ("a", 3, 5, 70)]
    summary = ingest(store, dataset(tmp_path / "2", later), now=NOW)
    assert (summary.added, summary.updated, summary.superseded, summary.unchanged) == (1, 2, 1, 0)
    assert summary.epoch == 2
    after = log(store)
    mine = after.user == after.users.index(UserId("a"))
    ratings = dict(zip((after.items[i] for i in after.item[mine]), after.rating[mine], strict=True))
    assert ratings == {"0": 5, "1": 3, "2": 5, "3": 5}
    assert split_of(before) == {pair: code for pair, code in split_of(after).items() if pair != ("a", "3")}


def split_of(rows):
    return {(rows.users[u], rows.items[i]): s for u, i, s in zip(rows.user, rows.item, rows.split, strict=True)}


def test_changed_items_are_updated(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", grid("a")), now=NOW)
    movies = MOVIES.replace("Film 3 (1983)", "Film Three (1983)") + "12,Film 12,\n"
    summary = ingest(store, dataset(tmp_path / "2", grid("a"), movies), now=NOW)
    assert (summary.items_added, summary.items_updated, summary.items_unchanged) == (1, 1, 11)
    assert (summary.unchanged, summary.epoch) == (10, 2)


def test_the_random_split_keeps_eight_rows_in_ten_of_each_person(store, tmp_path):
    ingest(store, dataset(tmp_path, grid("a", "b", "c")), now=NOW)
    rows = log(store)
    for user in range(3):
        counts = np.bincount(rows.split[rows.user == user], minlength=3)
        assert counts.tolist() == [8, 1, 1]
    with store.reading() as unit:
        recipes = catalogue.split_recipes(unit)
    assert set(recipes) == {"random", "temporal"}
    assert recipes["random"].recipe == {"name": "random", "ratios": [0.8, 0.1, 0.1], "seed": 2020}


def test_a_row_keeps_its_splits_when_others_arrive(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", grid("a", "b")), now=NOW)
    before = {name: split_of(log(store, split=name)) for name in ("random", "time")}
    ingest(store, dataset(tmp_path / "2", [*grid("a", "b", items=12), *grid("c")]), now=NOW)
    for name, old in before.items():
        new = split_of(log(store, split=name))
        assert {pair: new[pair] for pair in old} == old
        assert len(new) == len(old) + 14


def test_later_rows_follow_the_recipe_of_the_first(store, tmp_path):
    other = Store.open(tmp_path / "other", create=True)
    for target, later in ((store, SplitRecipe("random", seed=1)), (other, SplitRecipe("random", seed=2))):
        ingest(target, dataset(tmp_path / "1", grid("a")), now=NOW, split=SplitRecipe("random", seed=1))
        ingest(target, dataset(tmp_path / "2", grid("b", "c", "d")), now=NOW, split=later)
    assert split_of(log(store)) == split_of(log(other))
    with other.reading() as unit:
        assert catalogue.split_recipes(unit)["random"].seed == 1
    other.close()


def test_another_seed_gives_another_split(store, tmp_path):
    other = Store.open(tmp_path / "other", create=True)
    for seed, target in enumerate((store, other)):
        ingest(target, dataset(tmp_path / "1", grid("a", "b", "c", "d")), now=NOW, split=SplitRecipe(seed=seed))
    assert split_of(log(store)) != split_of(log(other))
    other.close()


def test_later_rows_meet_the_moments_of_the_first_temporal_split(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", [("a", n, 4, 10 * n + 10) for n in range(10)]), now=NOW)
    late = [("b", 0, 4, 1), ("b", 1, 4, 80), ("b", 2, 4, 81), ("b", 3, 4, 90), ("b", 4, 4, 91), ("b", 5, 4, 9999)]
    ingest(store, dataset(tmp_path / "2", late), now=NOW)
    rows = split_of(log(store, split="time"))
    train, valid, test = (SPLITS.index(split) for split in (Split.TRAIN, Split.VALID, Split.TEST))
    assert [rows["b", str(n)] for n in range(6)] == [train, train, valid, valid, test, test]


def test_without_times_there_is_no_temporal_split(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", [("a", n, 4, "") for n in range(10)]), now=NOW)
    ingest(store, dataset(tmp_path / "2", grid("b")), now=NOW)
    assert set(log(store, split="time").split) == {SPLITS.index(Split.TRAIN)}
    with store.reading() as unit:
        assert set(catalogue.split_recipes(unit)) == {"random"}


def test_an_erased_person_does_not_come_back(store, tmp_path):
    data = dataset(tmp_path, grid("a", CANARY))
    ingest(store, data, now=NOW)
    forget(store, CANARY)
    before = everything(store)
    summary = ingest(store, data, now=NOW)
    assert everything(store) == before
    assert (summary.suppressed_users, summary.suppressed, summary.unchanged, summary.changed) == (1, 10, 10, False)
    assert CANARY not in log(store).users


def test_an_erased_person_stays_out_of_other_files_too(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", grid("a", CANARY)), now=NOW)
    forget(store, CANARY)
    summary = ingest(store, dataset(tmp_path / "2", [(CANARY, 11, 5, 900), ("b", 11, 5, 900)]), now=NOW)
    assert (summary.added, summary.suppressed) == (1, 1)
    assert {user for user, _ in pairs(store)} == {"a", "b"}


def test_erased_rows_do_not_come_back_and_others_of_the_person_may(store, tmp_path):
    data = dataset(tmp_path / "1", grid("a", "b"))
    ingest(store, data, now=NOW)
    forget(store, "a", Selection(items=(ItemId("3"), ItemId("4"))))
    summary = ingest(store, dataset(tmp_path / "2", grid("a", "b", items=12)), now=NOW)
    assert (summary.suppressed, summary.suppressed_users, summary.added, summary.unchanged) == (2, 0, 4, 18)
    assert {item for user, item in pairs(store) if user == "a"} == {*map(str, range(12))} - {"3", "4"}


@pytest.mark.parametrize("selection", [Selection(), Selection(items=(ItemId("3"),))])
def test_what_an_open_request_hides_stays_hidden(store, tmp_path, selection):
    ingest(store, dataset(tmp_path / "1", grid("a", "b")), now=NOW)
    forget(store, "a", selection, erase=False)
    before = everything(store)
    again = [(user, item, 1.0 if user == "a" and item == 3 else 4.0, at) for user, item, _, at in grid("a", "b")]
    summary = ingest(store, dataset(tmp_path / "2", again), now=NOW, readmit=frozenset({UserId("a")}))
    assert everything(store) == before
    hidden = 10 if selection.whole_user else 1
    assert (summary.suppressed, summary.unchanged, summary.updated) == (hidden, 20 - hidden, 0)
    assert summary.readmitted == 0


def test_nothing_new_of_a_hidden_person_comes_in(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", grid("a", "b")), now=NOW)
    forget(store, "a", erase=False)
    before = everything(store)
    summary = ingest(store, dataset(tmp_path / "2", [("a", 11, 4, 5)]), now=NOW)
    assert everything(store) == before
    assert (summary.suppressed, summary.suppressed_users) == (1, 1)


@BOTH
def test_readmitted_people_come_back_and_others_do_not(store, tmp_path):
    data = dataset(tmp_path, grid("a", "b", "c", "d"))
    ingest(store, data, now=NOW)
    forget(store, "a")
    forget(store, "b")
    forget(store, "c", Selection(items=(ItemId("3"),)))
    forget(store, "d", Selection(items=(ItemId("4"),)))
    named = frozenset(map(UserId, ("a", "c", "stranger")))
    summary = ingest(store, data, now=NOW, readmit=named)
    assert (summary.readmitted, summary.added, summary.suppressed, summary.suppressed_users) == (2, 11, 11, 1)
    assert {user for user, _ in pairs(store)} == {"a", "c", "d"}
    assert ("c", "3") in pairs(store)
    assert ("d", "4") not in pairs(store)
    with store.reading() as unit:
        assert not suppression.load(unit).hides_user(UserId("a"))
        assert ledger.verify(unit) > 0


def test_what_was_read_is_recorded_without_ids_or_folders(store, tmp_path):
    data = dataset(tmp_path / "secret-folder", grid(CANARY, "b"))
    ingest(store, data, now=NOW)
    with store.reading() as unit:
        recorded = unit.connection.execute(select(sources)).all()
        assert ledger.verify(unit) == 1
    assert [(row.kind, row.name, row.sha256) for row in recorded] == [
        ("movielens", file.name, file.sha256) for file in data.source.files
    ]
    told = {name: rows for name, rows in everything(store).items() if name in ("sources", "ledger", "meta", "splits")}
    assert CANARY not in repr(told)
    assert "secret-folder" not in repr(told)


@BOTH
def test_a_failure_on_the_way_leaves_nothing(store, tmp_path):
    ingest(store, dataset(tmp_path / "1", grid("a")), now=NOW)
    before = everything(store)

    def fail(done, total):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ingest(store, dataset(tmp_path / "2", grid("b")), now=NOW, progress=fail)
    assert everything(store) == before


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from db.store import Store
from pipelines.ingest import job
from pipelines.ingest.read import read_movielens

def die(done, total):
    if done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

job._CHUNK = 7
store = Store.open(Path(sys.argv[1]))
job.ingest(store, read_movielens(Path(sys.argv[2])), now=datetime(2026, 1, 2, tzinfo=UTC), progress=die)
"""


def test_a_kill_while_rows_are_written_leaves_nothing_and_a_second_run_ends_as_if_there_was_none(tmp_path):
    files_of_two = tmp_path / "2"
    data = dataset(files_of_two, grid("a", "b", "c"))
    stores = [Store.open(tmp_path / name, create=True) for name in ("killed", "calm")]
    for store in stores:
        ingest(store, dataset(tmp_path / "1", grid("a")), now=NOW)
    before = everything(stores[0])
    for rows in ("1", "20"):
        command = [sys.executable, "-c", KILLED, str(stores[0].root), str(files_of_two), rows]
        assert subprocess.run(command, check=False).returncode == -9
        assert everything(stores[0]) == before
    for store in stores:
        ingest(store, data, now=NOW)
    killed, calm = map(everything, stores)
    assert killed.pop("meta") != calm.pop("meta")  # each store has an id of its own
    assert killed == calm
    for store in stores:
        store.close()


def test_people_without_interactions_are_people(store, tmp_path):
    files.folder(tmp_path, r__csv="user_id,item_id\nu,i\n", i__csv="item_id,title\ni,A\n", u__csv="user_id\nu\nv\n")
    data = read_files(tmp_path / "r.csv", tmp_path / "i.csv", tmp_path / "u.csv")
    assert ingest(store, data, now=NOW).users_added == 2
    assert log(store).users == ("u", "v")


def test_progress_counts_up_to_the_rows_written(store, tmp_path):
    heard = []
    ingest(store, dataset(tmp_path, grid("a", "b")), now=NOW, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(20, 20)]


def test_ml100k_in_the_store_is_ml100k(tmp_path):
    store = Store.open(tmp_path, create=True)
    summary = ingest(store, read_ml100k(), now=NOW)
    rows = log(store)
    assert (summary.added, len(rows), len(rows.users), len(rows.items)) == (100_000, 100_000, 943, 1682)
    shares = np.bincount(rows.split) / len(rows)
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.01)
    assert np.all(np.diff(rows.timestamp) >= 0)
    later = log(store, split="time")
    assert later.timestamp[later.split == 0].max() < later.timestamp[later.split == 1].min()
    store.close()
