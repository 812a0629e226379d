"""A store of each dialect, with a small catalogue and three people."""

from datetime import UTC, datetime

import pytest

from db import catalogue
from db.records import Item, ItemId, UserId
from db.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALICE, BOB, CANARY = UserId("alice"), UserId("bob"), UserId("canary-5f1d9c0e7a2b4d68a3c1")
FILMS = [
    Item(ItemId("i1"), "Star Wars", 1977, ("Action", "Sci-Fi")),
    Item(ItemId("i2"), "Fargo", 1996, ("Crime",)),
    Item(ItemId("i3"), "Untitled", None, ()),
    Item(ItemId("i4"), "Alien", 1979, ("Horror", "Sci-Fi"), "In space."),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    opened = Store.open(tmp_path / "root", url, create=True)
    fill(opened)
    yield opened
    opened.close()


def fill(store: Store) -> None:
    with store.writing() as unit:
        catalogue.put_items(unit, FILMS)
        catalogue.put_users(unit, [ALICE, BOB, CANARY])
        keys = {user: stored.key for user, stored in catalogue.stored_users(unit).items()}
        items = catalogue.item_keys(unit)
        rows = [(user, item, at) for user in (ALICE, BOB, CANARY) for item, at in (("i1", 30), ("i2", 20), ("i4", 10))]
        catalogue.put_interactions(unit, [(keys[u], items[ItemId(i)], 4.0, at, 0, 0) for u, i, at in rows])
        catalogue.bump_epoch(unit)
        unit.commit()
