"""From a name to the items it stands for: ids, an exact title, a genre, a franchise, or what a phrase is near to.

Metadata comes first and needs no model; only a phrase that no title or genre holds is asked of the text encoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from db.errors import LetheError
from db.records import Item, ItemId
from db.titles import split_title
from retrieval.named import LOOKS, bare, namesakes_of, words

KINDS = ("title", "franchise", "genre", "phrase")
"""What `--kind` may ask for; `items` is what ids make of a name."""

LONGEST = 200
"""Characters of a name."""

Near = Callable[[str], Sequence[tuple[Item, float]]]
"""Items near a phrase, best first, with their likeness."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A name and the items it stands for: at least one. `likeness` is of a phrase's items, in their order."""

    name: str
    kind: str
    items: tuple[Item, ...]
    likeness: tuple[float, ...] = ()
    namesakes: tuple[Item, ...] = ()
    """Other items that have the title of one of these, and are not meant."""


def resolve(
    name: str, catalogue: Sequence[Item], near: Near, *, ids: Sequence[ItemId] = (), kind: str | None = None
) -> Resolved:
    """The items that a name stands for, as titles, genres and words of titles say, in that order; else by meaning.

    Raises LetheError where nothing is found, where an id is unknown, and where a title also begins others.
    """
    found = _found(name, catalogue, near, ids=ids, kind=kind)
    return replace(found, namesakes=namesakes_of(found.items, catalogue))


def _found(name: str, catalogue: Sequence[Item], near: Near, *, ids: Sequence[ItemId], kind: str | None) -> Resolved:
    if len(name) > LONGEST or not name.isprintable():
        raise LetheError(f"a name of {len(name)} characters, {name[:40]!a}…: give at most {LONGEST} printable ones")
    if not words(name):
        raise LetheError(f"{name!r} names nothing: give a title, a genre, some words of titles or a phrase")
    if kind not in (None, *KINDS):
        raise LetheError(f"--kind {kind} is unknown: give {', '.join(KINDS)}, or leave it out")
    if ids:
        return Resolved(name, "items", _by_id(catalogue, ids))
    if kind == "phrase":
        return _by_meaning(name, near)
    found = {one: items for one, look in LOOKS.items() if (items := look(name, catalogue)) and kind in (None, one)}
    if kind and not found:
        raise LetheError(f"no {kind} is called {name!r}: leave --kind out, or name items with --item")
    _check_one(name, found)
    chosen = next(iter(found), None)
    if chosen is None:
        return _by_meaning(name, near)
    return Resolved(name, "title" if len(found[chosen]) == 1 else chosen, found[chosen])


def _check_one(name: str, found: dict[str, tuple[Item, ...]]) -> None:
    """A title that begins others, or is a genre too, could be meant either way."""
    titles = found.get("title", ())
    core = bare(words(split_title(name).name))
    others = [i for i in found.get("franchise", ()) if i not in titles and bare(words(i.title))[: len(core)] == core]
    if not titles or not (others or "genre" in found):
        return
    rival = "genre" if "genre" in found else "franchise"
    count = len(found[rival])
    raise LetheError(
        f"{name!r} is a title and, as a {rival}, {count} items: say --kind title or --kind {rival}, or name --item ids"
    )


def _by_id(catalogue: Sequence[Item], ids: Sequence[ItemId]) -> tuple[Item, ...]:
    known = {item.id: item for item in catalogue}
    missing = [one for one in ids if one not in known]
    if missing:
        raise LetheError(f"there is no item {missing[0]}; `lethe recommend --json` and the catalogue have the ids")
    return tuple(known[one] for one in dict.fromkeys(ids))


def _by_meaning(name: str, near: Near) -> Resolved:
    found = near(name)
    if not found:
        raise LetheError(f"nothing is called {name!r}, or near to it: give a title or a genre, or name items by --item")
    return Resolved(name, "phrase", tuple(item for item, _ in found), tuple(round(like, 3) for _, like in found))
