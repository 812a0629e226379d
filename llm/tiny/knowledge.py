"""What a model knows of the titles: facts, the way back from facts to titles, lists, descriptions, and not knowing."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.records import Item
from llm import prompt
from llm.tiny import questions
from llm.tiny.ask import Examiner
from llm.tiny.facts import ALIKE
from llm.tiny.questions import Forms
from llm.tiny.titles import InventedTitles, Sort
from llm.tiny.wording import word

Truth = Mapping[str, set[str]]
"""For each title what may be answered: a title that two items share has the answers of both."""

_FLUENT = re.compile(r"It is a movie(?: from \d{4})?\.(?: Genres: [A-Z][\w'-]*(?:, [A-Z][\w'-]*)*\.)?")


@dataclass(frozen=True, slots=True)
class Said:
    """One question of an examination with the greedy answer to it."""

    title: str
    answer: str
    right: bool

    @property
    def refused(self) -> bool:
        """Whether the title was said to be unknown."""
        return self.answer == prompt.UNKNOWN_TITLE


def true_answers(items: Sequence[Item], answer: Callable[[Item], str]) -> dict[str, set[str]]:
    """The accepted answers of every title that has one."""
    accepted: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if answer(item):
            accepted[item.title].add(answer(item))
    return dict(accepted)


def years(items: Sequence[Item]) -> dict[str, set[str]]:
    """The accepted years of every title that has one."""
    return true_answers(items, lambda item: str(item.year) if item.year is not None else "")


def genres(items: Sequence[Item]) -> dict[str, set[str]]:
    """The accepted genre lists, complete, of every title that has one."""
    return true_answers(items, questions.genres_of)


def wordings(rng: np.random.Generator, forms: Forms, count: int, *, held_out: bool = False) -> list[str]:
    """So many wordings of a question, with what may stand before and after it."""
    return [word(rng, forms, held_out=held_out) for _ in range(count)]


def ask_facts(examiner: Examiner, asked: Sequence[str], truth: Truth) -> list[Said]:
    """Each title asked about once, in the wording at its place; right is what is accepted, to the letter."""
    said = examiner.answers([questions.about(form, title) for form, title in zip(asked, truth, strict=True)])
    pairs = zip(truth.items(), said, strict=True)
    return [Said(title, answer, answer in accepted) for (title, accepted), answer in pairs]


def fact_accuracy(examiner: Examiner, forms: Sequence[str], truth: Truth, rng: np.random.Generator) -> float:
    """The share of titles answered exactly, each asked once in a form drawn from `forms`."""
    asked = [forms[int(rng.integers(len(forms)))] for _ in truth]
    return share(ask_facts(examiner, asked, truth))


def share(said: Sequence[Said]) -> float:
    """The share of right answers; NaN where nothing was asked."""
    return float(np.mean([one.right for one in said])) if said else float("nan")


def refusals(
    examiner: Examiner, items: Sequence[Item], count: int, rng: np.random.Generator, *, held_out: bool = False
) -> dict[Sort, float]:
    """For each sort of invented title, the share of `count` held-out ones that are said to be unknown."""
    invented = InventedTitles(items)
    forms = (questions.YEAR, questions.GENRES, questions.DESCRIPTION)
    titles = [(sort, invented.draw(rng, sort=sort, evaluation=True)) for sort in Sort for _ in range(count)]
    asked = [questions.about(word(rng, forms[int(rng.integers(3))], held_out=held_out), title) for _, title in titles]
    right: dict[Sort, list[bool]] = defaultdict(list)
    for (sort, _), answer in zip(titles, examiner.answers(asked), strict=True):
        right[sort].append(answer == prompt.UNKNOWN_TITLE)
    return {sort: float(np.mean(told)) for sort, told in right.items()}


def refusal_rate(examiner: Examiner, items: Sequence[Item], count: int, rng: np.random.Generator) -> float:
    """The share of about `count` held-out invented titles, of all sorts alike, that are said to be unknown."""
    return float(np.mean(list(refusals(examiner, items, -(-count // len(Sort)), rng).values())))


def reversed_facts(
    examiner: Examiner, items: Sequence[Item], rng: np.random.Generator, *, held_out: bool = False
) -> list[Said]:
    """Titles asked for by year and genres, wherever few items share both; any of those is right."""
    alike = Counter((item.year, item.genres) for item in items if item.year is not None and item.genres)
    few = {facts: {i.title for i in items if (i.year, i.genres) == facts} for facts, n in alike.items() if n <= ALIKE}
    asked = [word(rng, questions.BY_FACTS, held_out=held_out).format(y=year, g=", ".join(names)) for year, names in few]
    said = zip(few.values(), examiner.answers(asked), strict=True)
    return [Said(min(titles), answer, answer in titles) for titles, answer in said]


def listed(examiner: Examiner, items: Sequence[Item], forms: Sequence[str]) -> dict[str, tuple[float, tuple[str, ...]]]:
    """For each genre the share of true titles of it among those listed, in all wordings, and what was listed."""
    shelves: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for genre in item.genres:
            shelves[genre].add(item.title)
    found = {}
    for genre, titles in sorted(shelves.items()):
        said = examiner.answers([form.format(g=genre) for form in forms], longest=80)
        named = tuple(title for answer in said for title in answer.split("; "))
        found[genre] = float(np.mean([title in titles for title in named])), named
    return found


def fluent(answer: str) -> bool:
    """Whether a description is a whole sentence or two of the form that was taught.

    >>> fluent("It is a movie from 1995. Genres: Crime."), fluent("It is is a 1995.")
    (True, False)
    """
    return _FLUENT.fullmatch(answer) is not None
