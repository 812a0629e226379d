"""The items that a name stands for, as titles, genres and words of titles say: no model, and no row of a person."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from db.records import Item
from db.titles import split_title

ARTICLES = frozenset({"the", "a", "an"})


def words(text: str) -> tuple[str, ...]:
    """The words of a title or a name, without case, accents and punctuation.

    >>> words("Star Trek: First Contact"), words("Schindler's List"), words("Film-Noir")
    (('star', 'trek', 'first', 'contact'), ('schindlers', 'list'), ('film', 'noir'))
    """
    plain = unicodedata.normalize("NFKD", text.replace("'", "").replace("\u2019", ""))
    return tuple(re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)).casefold()))


def titled(name: str, catalogue: Sequence[Item]) -> tuple[Item, ...]:
    """Items of exactly this title, an article at its beginning left aside; a year in parentheses picks among them.

    Several items of one title are one concept: asked by title, nothing tells them apart.
    """
    wanted = split_title(name)
    core = bare(words(wanted.name))
    same = [item for item in catalogue if bare(words(item.title)) == core and wanted.year in (None, item.year)]
    to_the_letter = [item for item in same if words(item.title) == words(wanted.name)]
    return tuple(to_the_letter or same)


def of_genre(name: str, catalogue: Sequence[Item]) -> tuple[Item, ...]:
    """Items that carry a genre of this name."""
    return tuple(item for item in catalogue if any(words(genre) == words(name) for genre in item.genres))


def with_words(name: str, catalogue: Sequence[Item]) -> tuple[Item, ...]:
    """Items whose title holds the words of a name, one after the other: what the films of a franchise share."""
    core = bare(words(name))
    return tuple(item for item in catalogue if _holds(words(item.title), core))


def bare(found: tuple[str, ...]) -> tuple[str, ...]:
    """Words without an article at their beginning, unless that is all there is."""
    return found[1:] if len(found) > 1 and found[0] in ARTICLES else found


LOOKS: Mapping[str, Callable[[str, Sequence[Item]], tuple[Item, ...]]] = {
    "title": titled,
    "genre": of_genre,
    "franchise": with_words,
}
"""What a name is looked up as, by kind of concept, in this order."""


def _holds(title: tuple[str, ...], core: tuple[str, ...]) -> bool:
    return any(title[start : start + len(core)] == core for start in range(len(title) - len(core) + 1))


def namesakes_of(items: Sequence[Item], catalogue: Iterable[Item]) -> tuple[Item, ...]:
    """Others of the catalogue with the title of one of the items, in its order."""
    titles, own = {item.title for item in items}, {item.id for item in items}
    return tuple(item for item in catalogue if item.title in titles and item.id not in own)
