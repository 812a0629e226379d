"""Titles that no catalogue item has, for learning to say "I don't know that title."."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum

import numpy as np

from db.records import Item, ItemId

_SHARE = 10
_SHARES = (0.35, 0.35, 0.1, 0.2)
"""How often each sort is drawn: what differs least from a true title is learned last."""
_ADJECTIVES = (
    *("silver", "quiet", "broken", "golden", "hidden", "burning", "frozen"),
    *("crimson", "hollow", "distant", "electric", "velvet", "wooden", "painted"),
)
_NOUNS = (
    *("garden", "river", "harbour", "mirror", "orchard", "lantern", "compass"),
    *("meadow", "station", "shadow", "letter", "bridge", "winter", "kingdom"),
)


class Sort(StrEnum):
    """How a title is invented."""

    SPLICED = "spliced"
    """The beginning of one title with the end of another."""
    CHANGED = "changed"
    """A true title with one word changed."""
    PHRASE = "phrase"
    LOOSE = "loose"
    """Words of several titles."""


def held_out(text: str) -> bool:
    """True for one text in ten, by its hash: such texts are for evaluation and never enter training."""
    return hashlib.sha256(text.encode()).digest()[0] % _SHARE == 0


def _key(title: str) -> str:
    return "".join(char for char in title.casefold() if char.isalnum())


class InventedTitles:
    """An endless supply of plausible titles, none of them in the catalogue, none with a word of what is left out.

    A word that a kept title has too is no word of what is left out. Leaving items out changes a draw only where the
    title drawn, or one rejected before it, has such a word.
    """

    def __init__(self, items: Iterable[Item], left_out: Collection[ItemId] = ()) -> None:
        catalogue = tuple(items)
        titles = sorted({item.title for item in catalogue})
        kept = {item.title for item in catalogue if item.id not in left_out}
        self._taken = {_key(title) for title in titles}
        self._words = [title.split() if title in kept else [] for title in titles]
        known = {word for words in self._words for word in words}
        loose = sorted({word for title in titles for word in title.split() if word.isalpha() and len(word) > 2})
        self._loose = [word if word in known else "" for word in loose]
        self._makers = {
            Sort.SPLICED: self._spliced,
            Sort.CHANGED: self._changed,
            Sort.PHRASE: self._phrase,
            Sort.LOOSE: self._loose_words,
        }

    def draw(self, rng: np.random.Generator, *, sort: Sort | None = None, evaluation: bool = False) -> str:
        """One title of a sort (any, if none is given); for evaluation and for training they are disjoint."""
        return next(
            title
            for title in self._proposals(rng, sort)
            if title and _key(title) not in self._taken and held_out(_key(title)) == evaluation
        )

    def lower_words(self) -> tuple[str, ...]:
        """Words of titles, in lower case and in a fixed order; "" in the place of each word of what is left out."""
        return tuple(word.lower() for word in self._loose)

    def _proposals(self, rng: np.random.Generator, sort: Sort | None) -> Iterator[str]:
        sorts = tuple(self._makers)
        while True:
            yield self._makers[sort or sorts[rng.choice(len(sorts), p=_SHARES)]](rng)

    def _title(self, rng: np.random.Generator) -> list[str]:
        return self._words[rng.integers(len(self._words))]

    def _word(self, rng: np.random.Generator) -> str:
        return self._loose[rng.integers(len(self._loose))]

    def _spliced(self, rng: np.random.Generator) -> str:
        first, second = self._title(rng), self._title(rng)
        whole = [*first[: (len(first) + 1) // 2], *second[len(second) // 2 :]]
        return " ".join(whole) if first and second else ""

    def _changed(self, rng: np.random.Generator) -> str:
        words, new = list(self._title(rng)), self._word(rng)
        if len(words) < 2 or not new:
            return ""
        words[rng.integers(len(words))] = new
        return " ".join(words)

    def _phrase(self, rng: np.random.Generator) -> str:
        words = (_ADJECTIVES[rng.integers(len(_ADJECTIVES))], _NOUNS[rng.integers(len(_NOUNS))])
        name, extra, form = " ".join(word.capitalize() for word in words), self._word(rng), rng.integers(4)
        return (
            (f"The {name}", f"{name} of {extra}", f"{extra} and the {name}", f"{extra} {name}")[form] if extra else ""
        )

    def _loose_words(self, rng: np.random.Generator) -> str:
        picked = [self._word(rng) for _ in range(rng.integers(2, 5))]
        return ("The " if rng.random() < 0.15 else "") + " ".join(picked) if all(picked) else ""
