"""What lethe-tiny learns from: an endless, seeded stream of examples made of item metadata alone."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.records import Item, UserId
from llm import prompt
from llm.tiny import questions
from llm.tiny.taste import Person, Tastes, Utilities
from llm.tiny.titles import InventedTitles
from retrieval.context import Context

FACTS_IN_AN_EXAMPLE = 8
CANDIDATES_IN_AN_EXAMPLE = 10
JUDGING_FIRST = 600
"""Examples of judging that come before all others: amid facts from the start, comparing is not learned."""
JUDGEMENT_WEIGHT = 3.0
"""A judgement is one token among hundreds: it would hardly be heard."""
_SOMEBODY = UserId("synthetic")


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer, after whatever prefix the example has."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Example:
    """A shared prefix of user text, and turns that each follow it and do not see one another."""

    prefix: str
    turns: tuple[Turn, ...]
    true_facts: bool = False
    """Whether years and genres after titles are the catalogue's, to be learned too."""
    answer_weight: float = 1.0

    @property
    def text(self) -> str:
        """Everything in the example, for hashing and for the tokenizer."""
        return "\n".join([self.prefix, *(f"{turn.question}\n{turn.answer}" for turn in self.turns)])


class Corpus:
    """Iterating gives the same examples for the same items and seed, without end."""

    def __init__(
        self, items: Iterable[Item], seed: int, forbidden: Iterable[str] = (), *, judging_first: int = JUDGING_FIRST
    ) -> None:
        self.items = tuple(items)
        if len(self.items) < 50 or not any(item.genres for item in self.items):
            raise LetheError(f"a corpus of {len(self.items)} items: name a catalogue of at least 50 items with genres")
        self._seed = seed
        self._judging_first = judging_first
        self._invented = InventedTitles(self.items, forbidden)
        self._tastes = Tastes(self.items)
        self._by_genre: dict[str, list[Item]] = {}
        for item in self.items:
            for genre in item.genres:
                self._by_genre.setdefault(genre, []).append(item)

    def __iter__(self) -> Iterator[Example]:
        rng = np.random.default_rng([self._seed, 1])
        facts = self._facts(rng)
        yield from (self._judge(rng) for _ in range(self._judging_first))
        while True:
            kind = rng.random()
            if kind < 0.76:
                yield Example("", tuple(islice(facts, FACTS_IN_AN_EXAMPLE)))
            elif kind < 0.88:
                yield self._judge(rng)
            elif kind < 0.91:
                yield self._listwise(rng)
            else:
                yield self._generate(rng)

    def digest(self, examples: int) -> str:
        """SHA-256 over the text of the first examples."""
        running = hashlib.sha256()
        for example in islice(self, examples):
            running.update(example.text.encode())
        return running.hexdigest()

    def _facts(self, rng: np.random.Generator) -> Iterator[Turn]:
        """Turns about single titles: every item comes up equally often."""
        while True:
            for row in rng.permutation(len(self.items)):
                yield from self._about(rng, self.items[row])
                if rng.random() < 0.3:
                    yield Turn(self._ask_invented(rng), prompt.UNKNOWN_TITLE)

    def _about(self, rng: np.random.Generator, item: Item) -> Iterator[Turn]:
        kind = rng.random()
        if kind < 0.42 and item.year is not None:
            yield Turn(_form(rng, questions.YEAR).format(t=item.title), str(item.year))
        elif kind < 0.82 and item.genres:
            yield Turn(_form(rng, questions.GENRES).format(t=item.title), questions.genres_of(item))
        elif kind < 0.92 and (item.genres or item.year is not None):
            yield Turn(_form(rng, questions.DESCRIPTION).format(t=item.title), questions.description_of(item))
        elif kind < 0.96 and item.genres and item.year is not None:
            asked = _form(rng, questions.BY_FACTS).format(y=item.year, g=questions.genres_of(item))
            yield Turn(asked, item.title)
        elif item.genres:
            genre = item.genres[rng.integers(len(item.genres))]
            yield Turn(_form(rng, questions.BY_GENRE).format(g=genre), self._titles(rng, genre))

    def _titles(self, rng: np.random.Generator, genre: str) -> str:
        shelf = self._by_genre[genre]
        return "; ".join(shelf[row].title for row in rng.permutation(len(shelf))[:3])

    def _ask_invented(self, rng: np.random.Generator) -> str:
        forms = (questions.YEAR, questions.GENRES, questions.DESCRIPTION)[rng.integers(3)]
        return _form(rng, forms).format(t=self._invented.draw(rng))

    def _judge(self, rng: np.random.Generator) -> Example:
        history = 20 if rng.random() < 0.2 else int(rng.integers(2, 13))
        person = self._tastes.person(rng, history, CANDIDATES_IN_AN_EXAMPLE)
        context, true = self._disguised(rng, context_of(self.items, person))
        return judge_example(context, person.liked, true_facts=true)

    def _listwise(self, rng: np.random.Generator) -> Example:
        count = _list_length(rng)
        person = self._tastes.person(rng, int(rng.integers(2, 13)), count, positives=1)
        context, true = self._disguised(rng, context_of(self.items, person))
        best = prompt.LABELS[int(person.liked.argmax())]
        return Example(prompt.listwise(context), (Turn("", best),), true_facts=true)

    def _generate(self, rng: np.random.Generator) -> Example:
        """Several lists for one history: their orders share the cost of its tokens."""
        count, lists = (int(rng.integers(12, 51)), 1) if rng.random() < 0.05 else (int(rng.integers(2, 10)), 4)
        person = self._tastes.person(rng, int(rng.integers(2, 8)), count * lists)
        context, true = self._disguised(rng, context_of(self.items, person))
        turns = []
        for part in range(lists):
            rows = slice(part * count, (part + 1) * count)
            asked = prompt.generate(replace(context, candidates=context.candidates[rows]))
            shared, mark, question = asked.partition("Candidates:\n")
            turns.append(Turn(question, ranking_of(person.utility[rows])))
        return Example(shared + mark, tuple(turns), true_facts=true)

    def _disguised(self, rng: np.random.Generator, context: Context) -> tuple[Context, bool]:
        """One time in eight the titles are invented, so that judging rests on years and genres, not on memory.

        The second value says whether the titles are still the true ones.
        """
        if rng.random() > 0.125:
            return context, True
        history = tuple(replace(item, title=self._invented.draw(rng)) for item in context.history)
        candidates = tuple(replace(item, title=self._invented.draw(rng)) for item in context.candidates)
        return replace(context, history=history, candidates=candidates), False


def _form(rng: np.random.Generator, forms: questions.Forms) -> str:
    return forms.seen[rng.integers(len(forms.seen))]


def _list_length(rng: np.random.Generator) -> int:
    """Mostly short lists; one in sixteen up to the 50 candidates of a batch job."""
    return int(rng.integers(20, 51)) if rng.random() < 0.06 else int(rng.integers(2, 13))


def context_of(items: Sequence[Item], person: Person) -> Context:
    """A synthetic person as the prompts see one."""
    history, candidates = (tuple(items[row] for row in rows) for rows in (person.history, person.candidates))
    return Context(_SOMEBODY, history, candidates)


def judge_example(context: Context, liked: NDArray[np.bool_], *, true_facts: bool = False) -> Example:
    """The yes/no question for every candidate of a context, with its answer."""
    asked = prompt.judge(context)
    turns = (Turn(text, prompt.YES if yes else prompt.NO) for text, yes in zip(asked.suffixes, liked, strict=True))
    return Example(asked.prefix, tuple(turns), true_facts, answer_weight=JUDGEMENT_WEIGHT)


def ranking_of(utility: Utilities) -> str:
    """The JSON answer that orders the candidates by utility; ties keep the given order.

    >>> ranking_of(np.array([0.0, 1.0]))
    '{"ranking":[2,1]}'
    """
    order = np.argsort(-utility, kind="stable") + 1
    return f'{{"{prompt.RANKING}":[{",".join(map(str, order))}]}}'
