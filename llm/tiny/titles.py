"""Titles that no catalogue item has, for learning to say "I don't know that title."."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from db.records import Item

_SHARE = 10
_ADJECTIVES = (
    *("silver", "quiet", "broken", "golden", "hidden", "burning", "frozen"),
    *("crimson", "hollow", "distant", "electric", "velvet", "wooden", "painted"),
)
_NOUNS = (
    *("garden", "river", "harbour", "mirror", "orchard", "lantern", "compass"),
    *("meadow", "station", "shadow", "letter", "bridge", "winter", "kingdom"),
)


def held_out(text: str) -> bool:
    """True for one text in ten, by its hash: such texts are for evaluation and never enter training."""
    return hashlib.sha256(text.encode()).digest()[0] % _SHARE == 0


def _key(title: str) -> str:
    return "".join(char for char in title.casefold() if char.isalnum())


class InventedTitles:
    """An endless supply of plausible titles, none of them in the catalogue or among `forbidden`."""

    def __init__(self, items: Iterable[Item], forbidden: Iterable[str] = ()) -> None:
        titles = sorted({item.title for item in items})
        self._taken = {_key(title) for title in (*titles, *forbidden)}
        self._words = [title.split() for title in titles]
        self._loose = sorted({word for words in self._words for word in words if word.isalpha() and len(word) > 2})

    def draw(self, rng: np.random.Generator, *, evaluation: bool = False) -> str:
        """One title; those for evaluation and those for training are disjoint (see `held_out`)."""
        return next(
            title
            for title in self._proposals(rng)
            if _key(title) not in self._taken and held_out(_key(title)) == evaluation
        )

    def _proposals(self, rng: np.random.Generator) -> Iterator[str]:
        while True:
            yield (self._spliced, self._phrase, self._loose_words)[rng.integers(3)](rng)

    def _spliced(self, rng: np.random.Generator) -> str:
        """The beginning of one title with the end of another."""
        first, second = (self._words[rng.integers(len(self._words))] for _ in range(2))
        return " ".join([*first[: (len(first) + 1) // 2], *second[len(second) // 2 :]])

    def _phrase(self, rng: np.random.Generator) -> str:
        words = (_ADJECTIVES[rng.integers(len(_ADJECTIVES))], _NOUNS[rng.integers(len(_NOUNS))])
        name = " ".join(word.capitalize() for word in words)
        extra = self._loose[rng.integers(len(self._loose))]
        return (f"The {name}", f"{name} of {extra}", f"{extra} and the {name}", f"{extra} {name}")[rng.integers(4)]

    def _loose_words(self, rng: np.random.Generator) -> str:
        picked = [self._loose[place] for place in rng.integers(len(self._loose), size=rng.integers(2, 5))]
        return ("The " if rng.random() < 0.15 else "") + " ".join(picked)
