"""People, items and interactions: what `ingest` writes and every model reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update

from db.records import Item, ItemId, RequestId, UserId
from db.schema import interactions, items, meta, sources, splits, users
from db.store import Unit

InteractionRow = tuple[int, int, float | None, int | None, int, int]
"""(user key, item key, rating, timestamp, split code, temporal split code)."""


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A person's surrogate key, and the open request that hides them, if any."""

    key: int
    hidden_by: RequestId | None


@dataclass(frozen=True, slots=True)
class SplitRecipe:
    """How a split column was made. `hash` identifies it: sha256 over recipe, seed and data epoch."""

    name: str
    recipe: dict[str, object]
    seed: int
    epoch: int
    hash: str


def epoch(unit: Unit) -> int:
    """The data epoch: it grows whenever visible rows change."""
    return int(unit.connection.scalar(select(meta.c.value).where(meta.c.key == "data_epoch")) or 0)


def bump_epoch(unit: Unit) -> int:
    """Begin a new data epoch and return it."""
    new = epoch(unit) + 1
    unit.connection.execute(update(meta).where(meta.c.key == "data_epoch").values(value=str(new)))
    return new


def load_items(unit: Unit) -> list[Item]:
    """The whole catalogue in row order."""
    return [
        Item(ItemId(row.item_id), row.title, row.year, tuple(row.genres), row.description)
        for row in unit.connection.execute(select(items).order_by(items.c.id))
    ]


def item_keys(unit: Unit) -> dict[ItemId, int]:
    """Surrogate key of every item."""
    return {ItemId(outside): key for key, outside in unit.connection.execute(select(items.c.id, items.c.item_id))}


def put_items(unit: Unit, new: Iterable[Item]) -> dict[str, int]:
    """Add or update items by id; returns counts `added`, `updated`, `unchanged`."""
    known = {item.id: item for item in load_items(unit)}
    wanted = list(new)
    added = [_item_row(item) for item in wanted if item.id not in known]
    changed = [{**_item_row(item), "which": item.id} for item in wanted if item.id in known and known[item.id] != item]
    if added:
        unit.connection.execute(items.insert(), added)
    if changed:
        columns: dict[str, object] = {name: bindparam(name) for name in ("title", "year", "genres", "description")}
        unit.connection.execute(update(items).where(items.c.item_id == bindparam("which")).values(columns), changed)
    return {"added": len(added), "updated": len(changed), "unchanged": len(wanted) - len(added) - len(changed)}


def stored_users(unit: Unit) -> dict[UserId, StoredUser]:
    """Every person in the store, hidden ones too."""
    rows = unit.connection.execute(select(users.c.user_id, users.c.id, users.c.hidden_by))
    return {UserId(outside): StoredUser(key, hidden) for outside, key, hidden in rows}


def put_users(unit: Unit, new: Iterable[UserId]) -> None:
    """Add people who are not in the store yet; the caller has left out those who are."""
    rows = [{"user_id": user} for user in new]
    if rows:
        unit.connection.execute(users.insert(), rows)


def stored_interactions(unit: Unit) -> list[tuple[int, int, float | None, int | None, str | None]]:
    """Every row, hidden ones too: (user key, item key, rating, timestamp, hidden_by)."""
    c = interactions.c
    return [tuple(row) for row in unit.connection.execute(select(c.user, c.item, c.rating, c.timestamp, c.hidden_by))]


def put_interactions(unit: Unit, added: Sequence[InteractionRow], changed: Sequence[InteractionRow] = ()) -> None:
    """Insert new rows, and give changed rows their new rating and timestamp (a row keeps its splits for life)."""
    names = ("user", "item", "rating", "timestamp", "split", "split_time")
    if added:
        unit.connection.execute(interactions.insert(), [dict(zip(names, row, strict=True)) for row in added])
    if changed:
        c = interactions.c
        statement = update(interactions).where(c.user == bindparam("u"), c.item == bindparam("i"))
        values = [{"u": u, "i": i, "rating": rating, "timestamp": at} for u, i, rating, at, *_ in changed]
        unit.connection.execute(statement.values(rating=bindparam("rating"), timestamp=bindparam("timestamp")), values)


def counts(unit: Unit) -> dict[str, int]:
    """Visible people, items, visible interactions and hidden interactions."""
    execute = unit.connection.scalar
    return {
        "users": execute(select(func.count()).select_from(users).where(users.c.hidden_by.is_(None))) or 0,
        "items": execute(select(func.count()).select_from(items)) or 0,
        "interactions": execute(
            select(func.count()).where(interactions.c.hidden_by.is_(None)).select_from(interactions)
        )
        or 0,
        "hidden": execute(select(func.count()).where(interactions.c.hidden_by.is_not(None)).select_from(interactions))
        or 0,
    }


def hidden_users(unit: Unit) -> int:
    """How many people a request hides whose rows are not purged yet."""
    return unit.connection.scalar(select(func.count()).select_from(users).where(users.c.hidden_by.is_not(None))) or 0


def record_split(unit: Unit, recipe: SplitRecipe) -> None:
    """Store how a split column was made; the first recipe of a name stays (a split is never re-made)."""
    if unit.connection.scalar(select(splits.c.name).where(splits.c.name == recipe.name)) is None:
        values = {"name": recipe.name, "recipe": recipe.recipe, "seed": recipe.seed}
        unit.connection.execute(splits.insert(), {**values, "epoch": recipe.epoch, "hash": recipe.hash})


def split_recipes(unit: Unit) -> dict[str, SplitRecipe]:
    """The recorded recipes by name."""
    rows = unit.connection.execute(select(splits)).all()
    return {row.name: SplitRecipe(row.name, row.recipe, row.seed, row.epoch, row.hash) for row in rows}


def record_source(unit: Unit, source: dict[str, object]) -> None:
    """Remember what was ingested: kind, name, sha256, counts, at."""
    unit.connection.execute(sources.insert(), source)


def read_sources(unit: Unit) -> list[dict[str, object]]:
    """What was ingested, oldest first: kind, name, sha256 and at."""
    rows = unit.connection.execute(select(sources).order_by(sources.c.id))
    return [{"kind": row.kind, "name": row.name, "sha256": row.sha256, "at": row.at} for row in rows]


def _item_row(item: Item) -> dict[str, object]:
    values = {"item_id": item.id, "title": item.title, "year": item.year, "genres": list(item.genres)}
    return {**values, "description": item.description}
