"""Who may come in: people and rows that were asked to be forgotten stay out, unless they are named to be let back."""

from collections.abc import Iterable

import polars as pl

from db import suppression
from db.catalogue import StoredUser
from db.records import ItemId, UserId
from db.store import Unit
from db.suppression import Suppression


def readmit(unit: Unit, named: frozenset[UserId], interactions: pl.DataFrame) -> int:
    """Lift the suppression of these people, and of their rows among `interactions`; open requests stay as they are.

    Returns how many entries were lifted.
    """
    if not named:
        return 0
    theirs = interactions.filter(pl.col("user_id").is_in(list(named)))
    return suppression.readmit(unit, named, _pairs(theirs))


def refused_users(held: Suppression, stored: dict[UserId, StoredUser], asked: Iterable[UserId]) -> frozenset[UserId]:
    """Those who may not come in: hidden by an open request, or suppressed. Who is visible in the store may."""
    hidden = {user for user, known in stored.items() if known.hidden_by is not None}
    strangers = (user for user in asked if user not in stored) if held.tokens else ()
    return frozenset(hidden.union(user for user in strangers if held.hides_user(user)))


def refused_rows(held: Suppression, new: pl.DataFrame) -> pl.Series:
    """Which rows that the store does not hold are suppressed. (A visible row never is: hiding it suppressed it.)"""
    if not held.tokens:
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, new.height)
    return pl.Series([held.hides_row(user, item) for user, item in _pairs(new)], dtype=pl.Boolean)


def _pairs(interactions: pl.DataFrame) -> Iterable[tuple[UserId, ItemId]]:
    pairs = interactions.select("user_id", "item_id").iter_rows()
    return ((UserId(user), ItemId(item)) for user, item in pairs)
