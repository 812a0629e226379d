"""The concepts whose forgetting is evaluated, and the items that a name stands for."""

from collections.abc import Collection, Iterable

from db.errors import LetheError
from db.records import Item, ItemId
from retrieval.named import LOOKS

EVALUATED = ("Casablanca", "Star Trek", "Film-Noir")
"""A title, a franchise and a genre of ml-100k: stage 1 of the oracle forks is trained without all of them."""


def items_named(items: Iterable[Item], names: Collection[str]) -> frozenset[ItemId]:
    """The ids that the names stand for, each an id, a title, a genre, or words that a franchise's titles share.

    >>> a, b = Item(ItemId("1"), "Star Trek: Nemesis"), Item(ItemId("2"), "Star Trekking", None, ("War",))
    >>> [sorted(items_named([a, b], [name])) for name in ("Star Trek", "2", "War")]
    [['1'], ['2'], ['2']]
    """
    catalogue = tuple(items)
    found = {name: matching(catalogue, name)[1] for name in names}
    unknown = sorted(name for name, ids in found.items() if not ids)
    if unknown:
        raise LetheError(f"no item, title, genre or franchise is called {unknown[0]!r}: check it against the item file")
    return frozenset().union(*found.values())


def matching(items: Iterable[Item], name: str) -> tuple[str, frozenset[ItemId]]:
    """What a name is, "items" where it is an id, and the ids that it stands for, if any."""
    catalogue = tuple(items)
    if any(item.id == name for item in catalogue):
        return "items", frozenset({ItemId(name)})
    looked = ((kind, frozenset(item.id for item in look(name, catalogue))) for kind, look in LOOKS.items())
    return next(((kind, ids) for kind, ids in looked if ids), ("items", frozenset()))
