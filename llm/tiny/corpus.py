"""What lethe-tiny learns from: an endless, seeded stream of lessons made of item metadata alone."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.records import Item, ItemId, UserId
from llm import prompt
from llm.prompt import SERVED, Wording
from llm.tiny.examples import Example, Lesson, Turn
from llm.tiny.facts import Facts
from llm.tiny.requests import request
from llm.tiny.taste import Person, Tastes, Utilities
from llm.tiny.titles import InventedTitles
from retrieval.context import Context

FACTS_IN_AN_EXAMPLE = 8
FACTS_IN_A_LESSON = 9
CANDIDATES_IN_AN_EXAMPLE = 12
LISTS_IN_AN_EXAMPLE = 3
JUDGING_FIRST = 150
"""Lessons of judging that come before all others: amid facts from the start, comparing is not learned."""
MEETING = 500
"""Lessons after them in which few of the titles that are asked about are invented."""
JUDGING_AT_FIRST = 4
"""Examples in each of them."""
JUDGEMENT_WEIGHT = 5.0
"""A judgement is one token among hundreds: it would hardly be heard."""
_TURNS_ABOUT_PEOPLE = ("judge", "order", "judge", "order", "order", "choose")
"""What the one example of a lesson asks that is about a person."""
NOTHING = Example("", ())
_SOMEBODY = UserId("synthetic")


class Corpus:
    """Iterating gives the same lessons for the same items and seed, without end.

    Items left out are mentioned nowhere: what would have mentioned them is dropped or made without them. Every other
    example stays as it is, and in its place. Items that are `new` come up oftener among the facts. A model that has met
    nothing begins with `judging_first` lessons of judging, and meets the catalogue with few invented titles in it.
    """

    def __init__(
        self,
        items: Iterable[Item],
        seed: int,
        *,
        left_out: Collection[ItemId] = (),
        new: Collection[ItemId] = (),
        judging_first: int = JUDGING_FIRST,
    ) -> None:
        self.items = tuple(items)
        if len(self.items) < 50 or not any(item.genres for item in self.items):
            raise LetheError(f"a corpus of {len(self.items)} items: name a catalogue of at least 50 items with genres")
        self._seed = seed
        self._judging_first = judging_first
        first_turns = MEETING * FACTS_IN_A_LESSON * FACTS_IN_AN_EXAMPLE if judging_first else 0
        self._facts = Facts(self.items, seed, left_out, new, first_turns=first_turns)
        self._invented = InventedTitles(self.items, left_out)
        self._tastes = Tastes(self.items)
        self._keep = np.array([item.id not in left_out for item in self.items])

    @property
    def size(self) -> int:
        """How many items are not left out."""
        return int(self._keep.sum())

    def __iter__(self) -> Iterator[Lesson]:
        facts = iter(self._facts)
        for number in count():
            if number < self._judging_first:
                yield tuple(self._judge(self._rng(number, slot), served=True) for slot in range(JUDGING_AT_FIRST))
                continue
            told = (islice(facts, FACTS_IN_AN_EXAMPLE) for _ in range(FACTS_IN_A_LESSON))
            about_people = _TURNS_ABOUT_PEOPLE[number % len(_TURNS_ABOUT_PEOPLE)]
            people = {"judge": self._judge, "order": self._generate, "choose": self._listwise}[about_people]
            yield *(Example("", tuple(turn for turn in turns if turn)) for turns in told), people(self._rng(number, 0))

    def _rng(self, lesson: int, slot: int) -> np.random.Generator:
        """Random numbers for one example alone."""
        return np.random.default_rng([self._seed, 5, lesson, slot])

    def _judge(self, rng: np.random.Generator, *, served: bool = False) -> Example:
        history = 20 if rng.random() < 0.2 else int(rng.integers(2, 13))
        person = self._tastes.person(rng, history, CANDIDATES_IN_AN_EXAMPLE).among(self._keep)
        if not person.history.size or not person.candidates.size:
            return NOTHING
        context, true = self._disguised(rng, context_of(self.items, person))
        wording = SERVED if served else request(rng, self._facts.chance)
        return judge_example(context, person.liked, true_facts=true, wording=wording)

    def _listwise(self, rng: np.random.Generator) -> Example:
        count = _list_length(rng)
        person = self._tastes.person(rng, int(rng.integers(2, 13)), count, positives=1).among(self._keep)
        if not person.history.size or not person.liked.any():
            return NOTHING
        context, true = self._disguised(rng, context_of(self.items, person))
        best = prompt.LABELS[int(person.liked.argmax())]
        asked = prompt.listwise(context, request(rng, self._facts.chance))
        return Example(asked, (Turn("", best),), true_facts=true)

    def _generate(self, rng: np.random.Generator) -> Example:
        """Several lists for one history: their orders share the cost of its tokens."""
        lists = 1 if rng.random() < 0.04 else LISTS_IN_AN_EXAMPLE
        count = int(rng.integers(12, 51)) if lists == 1 else int(rng.integers(2, 10))
        person = self._tastes.person(rng, int(rng.integers(2, 8)), count * lists).among(self._keep)
        if not person.history.size or not person.candidates.size:
            return NOTHING
        context, true = self._disguised(rng, context_of(self.items, person))
        wording = request(rng, self._facts.chance)
        turns, shared, mark = [], "", f"{wording.candidates}\n"
        for rows in np.array_split(np.arange(len(person.candidates)), min(lists, len(person.candidates))):
            part = replace(context, candidates=tuple(context.candidates[row] for row in rows))
            shared, _, question = prompt.generate(part, wording).rpartition(mark)
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


class Read:
    """The lessons of a corpus, with the hash of those that were read so far."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._running = hashlib.sha256()

    def __iter__(self) -> Iterator[Lesson]:
        for lesson in self.corpus:
            for example in lesson:
                self._running.update(example.text.encode())
            yield lesson

    @property
    def sha256(self) -> str:
        """Over the text of every lesson that was read."""
        return self._running.hexdigest()


def _list_length(rng: np.random.Generator) -> int:
    """Mostly short lists; one in sixteen up to the 50 candidates of a batch job."""
    return int(rng.integers(20, 51)) if rng.random() < 0.06 else int(rng.integers(2, 13))


def context_of(items: Sequence[Item], person: Person) -> Context:
    """A synthetic person as the prompts see one."""
    history, candidates = (tuple(items[row] for row in rows) for rows in (person.history, person.candidates))
    return Context(_SOMEBODY, history, candidates)


def judge_example(
    context: Context, liked: NDArray[np.bool_], *, true_facts: bool = False, wording: Wording = SERVED
) -> Example:
    """The yes/no question for every candidate of a context, with its answer."""
    asked = prompt.judge(context, wording)
    answers = (prompt.YES if yes else prompt.NO for yes in liked)
    turns = (Turn(text, answer, JUDGEMENT_WEIGHT) for text, answer in zip(asked.suffixes, answers, strict=True))
    return Example(asked.prefix, tuple(turns), true_facts)


def ranking_of(utility: Utilities) -> str:
    """The JSON answer that orders the candidates by utility; ties keep the given order.

    >>> ranking_of(np.array([0.0, 1.0]))
    '{"ranking":[2,1]}'
    """
    order = np.argsort(-utility, kind="stable") + 1
    return f'{{"{prompt.RANKING}":[{",".join(map(str, order))}]}}'
