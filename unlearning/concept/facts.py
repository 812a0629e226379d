"""What can be asked about a title, and whom an answer tells of where items share a title."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from db.records import Item
from llm.tiny import questions
from llm.tiny.questions import Forms
from retrieval.named import namesakes_of
from unlearning.concept.base import Concept
from unlearning.concept.settings import FEW

Answers = Mapping[tuple[str, str], tuple[str, ...]]
"""By name of the fact and title."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of question about a title, and its answer for an item ("" where it has none)."""

    forms: Forms
    name: str

    def answer(self, item: Item) -> str:
        """The true answer, as the base gives it."""
        if self.name == "year":
            return str(item.year) if item.year is not None else ""
        known = bool(item.genres) if self.name == "genres" else bool(item.genres or item.year is not None)
        return (questions.genres_of if self.name == "genres" else questions.description_of)(item) if known else ""


FACTS = (Fact(questions.YEAR, "year"), Fact(questions.GENRES, "genres"), Fact(questions.DESCRIPTION, "description"))


@dataclass(frozen=True, slots=True)
class Told:
    """Whom answers about the titles of a concept tell of: its items, or namesakes, which stay outside it."""

    own: Answers
    others: Answers
    """Of namesakes."""
    namesakes: Mapping[str, tuple[Item, ...]]
    """Items outside the concept that have the title of one of its own, by title."""
    apart: bool
    """Whether a fit tells the two apart: where the concept has few items. Of many the title goes with the concept:
    too few of the questions would teach the namesake (docs/decisions/0024)."""

    def accepted(self, fact: Fact, item: Item) -> tuple[str, ...]:
        """Answers that count as knowing a concept item, its own first; none where its own is true of a namesake too."""
        answer, others = fact.answer(item), self.of_namesakes(fact, item.title)
        if not answer or answer in others:
            return ()
        return (answer, *(one for one in self.own[fact.name, item.title] if one != answer and one not in others))

    def of_namesakes(self, fact: Fact, title: str) -> tuple[str, ...]:
        """What is true of items outside that have a title of the concept."""
        return self.others.get((fact.name, title), ())

    def instead(self, fact: Fact, item: Item) -> str:
        """What is said of a concept item in the place of what goes: what a namesake is known for; "" for nothing."""
        return next(iter(self.of_namesakes(fact, item.title)), "") if self.apart else ""

    def alike(self, item: Item) -> tuple[Item, ...]:
        """The namesakes of a concept item."""
        return self.namesakes.get(item.title, ())

    def asked_of_namesakes(self) -> Iterator[tuple[Fact, Item, tuple[str, ...], bool]]:
        """Each fact of each title with namesakes: the first of them that has it, the answers, and whether an item of
        the concept has one of these too, which the base then gives in any case."""
        for title, items in self.namesakes.items():
            for fact in FACTS:
                answers = self.of_namesakes(fact, title)
                if answers:
                    first = next(item for item in items if fact.answer(item))
                    yield fact, first, answers, bool({*answers} & {*self.own.get((fact.name, title), ())})


def told(concept: Concept, catalogue: Sequence[Item]) -> Told:
    """What the titles of a concept tell, and of whom."""
    outside = namesakes_of(concept.items, catalogue)
    by_title: dict[str, tuple[Item, ...]] = {}
    for item in outside:
        by_title[item.title] = (*by_title.get(item.title, ()), item)
    return Told(answers_of(concept.items), answers_of(outside), by_title, apart=len(concept.items) <= FEW)


def answers_of(items: Iterable[Item]) -> dict[tuple[str, str], tuple[str, ...]]:
    """What is right by (fact, title): items of one title share their answers."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in items:
        for fact in FACTS:
            answer = fact.answer(item)
            if answer and answer not in found.setdefault((fact.name, item.title), []):
                found[fact.name, item.title].append(answer)
    return {key: tuple(value) for key, value in found.items()}
