"""Questions about single titles: an endless stream in which every item comes up equally often."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from db.records import Item, ItemId
from llm import prompt
from llm.tiny import questions
from llm.tiny.examples import Turn
from llm.tiny.questions import Forms
from llm.tiny.titles import InventedTitles
from llm.tiny.wording import small_words, strewn, word

INVENTED = 0.45
"""The share of questions about titles that nobody knows."""
INVENTED_AT_FIRST = 0.1
"""The same in the turns in which a new model meets the catalogue: with more, it learns to refuse every title."""
OFTENER = 4
"""How often an item comes up that is new in a second stage, for once of the others."""
VAGUE_WEIGHT = 0.3
"""Of an answer that could as well be another: a list, or one of several titles."""
ALIKE = 2
"""A title is asked for by year and genres where at most so many items share them."""
_LIST = 3
_PLACES = 4
"""Where the lists of a genre begin: so few that they can be learned."""
FACT_WEIGHT = 2.0


class Facts:
    """Iterating gives one turn after another; None stands for each that would have been about an item left out.

    Every turn has random numbers of its own, so that what is left out changes no other fact and no order.
    """

    def __init__(
        self,
        items: Sequence[Item],
        seed: int,
        left_out: Collection[ItemId] = (),
        new: Collection[ItemId] = (),
        *,
        first_turns: int = 0,
    ) -> None:
        self._items = items
        self._first_turns = first_turns
        self._seed = seed
        self._left_out = frozenset(left_out)
        self._invented = InventedTitles(items, left_out)
        self._deck = np.repeat(np.arange(len(items)), [OFTENER if item.id in new else 1 for item in items])
        self.chance = (*small_words(), *self._invented.lower_words())
        """Words that may stand anywhere in a question and say nothing."""
        self._alike = Counter((item.year, item.genres) for item in items)
        self._shelves: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            for genre in item.genres:
                self._shelves[genre].append(item)

    def __iter__(self) -> Iterator[Turn | None]:
        rows = self._rows()
        for number in count():
            rng = np.random.default_rng([self._seed, 3, number])
            if rng.random() < (INVENTED_AT_FIRST if number < self._first_turns else INVENTED):
                yield Turn(self._ask_invented(rng), prompt.UNKNOWN_TITLE, FACT_WEIGHT)
                continue
            row = next(rows)
            yield None if self._items[row].id in self._left_out else self._about(rng, row)

    def _rows(self) -> Iterator[int]:
        for turn in count():
            order: NDArray[np.int64] = np.random.default_rng([self._seed, 4, turn]).permutation(self._deck)
            yield from order.tolist()

    def _ask_invented(self, rng: np.random.Generator) -> str:
        forms = (questions.YEAR, questions.GENRES, questions.BOTH, questions.DESCRIPTION)
        asked = forms[rng.choice(4, p=(0.38, 0.38, 0.18, 0.06))]
        return self._asked(rng, asked, self._invented.draw(rng))

    def _about(self, rng: np.random.Generator, row: int) -> Turn:
        """A question about an item, of a kind for which enough is known of it."""
        item, kind = self._items[row], rng.random()
        if not item.genres or item.year is None:
            return self._describe(rng, item)
        if kind < 0.30:
            return self._fact(rng, questions.YEAR, item, str(item.year))
        if kind < 0.60:
            return self._fact(rng, questions.GENRES, item, questions.genres_of(item))
        if kind < 0.76 or (kind < 0.84 and self._alike[item.year, item.genres] > ALIKE):
            return self._fact(rng, questions.BOTH, item, questions.facts_of(item))
        if kind < 0.84:
            asked = word(rng, questions.BY_FACTS).format(y=item.year, g=questions.genres_of(item))
            return Turn(asked, item.title, VAGUE_WEIGHT)
        return self._describe(rng, item) if kind < 0.96 else self._list(rng, item)

    def _list(self, rng: np.random.Generator, item: Item) -> Turn:
        """Three titles of a genre of the item, as they follow each other in the catalogue from one of a few places."""
        genre = item.genres[rng.integers(len(item.genres))]
        shelf = self._shelves[genre]
        first = int(rng.integers(_PLACES)) * len(shelf) // _PLACES
        kept = [one.title for one in (*shelf[first:], *shelf[:first]) if one.id not in self._left_out]
        asked = word(rng, questions.BY_GENRE).format(g=genre)
        return Turn(asked, "; ".join(kept[:_LIST]), VAGUE_WEIGHT)

    def _fact(self, rng: np.random.Generator, forms: Forms, item: Item, answer: str) -> Turn:
        return Turn(self._asked(rng, forms, item.title), answer, FACT_WEIGHT)

    def _describe(self, rng: np.random.Generator, item: Item) -> Turn:
        return Turn(self._asked(rng, questions.DESCRIPTION, item.title), questions.description_of(item), FACT_WEIGHT)

    def _asked(self, rng: np.random.Generator, forms: Forms, title: str) -> str:
        """A question about a title, true or invented, in some wording with chance words among its own."""
        return questions.about(strewn(rng, word(rng, forms), self.chance), title)
