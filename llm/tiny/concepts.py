"""The concepts whose forgetting is evaluated, and the items that a name stands for."""

from collections.abc import Collection, Iterable

from db.errors import LetheError
from db.records import Item, ItemId

EVALUATED = ("Casablanca", "Star Trek", "Film-Noir")
"""A title, a franchise and a genre of ml-100k: stage 1 of the oracle forks is trained without all of them."""


def items_named(items: Iterable[Item], names: Collection[str]) -> frozenset[ItemId]:
    """The ids that the names stand for: an id, a title, a genre, or words that a franchise's titles begin with.

    >>> a, b = Item(ItemId("1"), "Star Trek: Nemesis"), Item(ItemId("2"), "Star Trekking", None, ("War",))
    >>> [sorted(items_named([a, b], [name])) for name in ("Star Trek", "2", "War")]
    [['1'], ['2'], ['2']]
    """
    catalogue = tuple(items)
    found = {name: matching(catalogue, name) for name in names}
    unknown = sorted(name for name, ids in found.items() if not ids)
    if unknown:
        raise LetheError(f"no item, title, genre or franchise is called {unknown[0]!r}: check it against the item file")
    return frozenset().union(*found.values())


def matching(items: Iterable[Item], name: str) -> frozenset[ItemId]:
    """The ids that one name stands for, if any."""
    return frozenset(i.id for i in items if name in (i.id, i.title, *i.genres) or _begins(i.title, name))


def _begins(title: str, words: str) -> bool:
    rest = title[len(words) :]
    return title.startswith(words) and " " in words and bool(rest) and not rest[0].isalnum()
