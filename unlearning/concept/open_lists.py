"""Lists that a model writes by itself: how many of the titles in them are the concept's?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.records import Item
from llm.model import LanguageModel
from llm.tiny import questions
from unlearning.concept.base import Concept, Use
from unlearning.concept.facts import told
from unlearning.concept.probes import divide
from unlearning.concept.spoken import speak

MOST = 8
"""Genres that are asked about, those of most concept items first."""


@dataclass(frozen=True, slots=True)
class OpenList:
    """A question for titles of a genre, and the concept's titles in lower case, without those of namesakes in it."""

    question: str
    genre: str
    titles: frozenset[str]


def open_lists(concept: Concept, catalogue: Sequence[Item]) -> tuple[OpenList, ...]:
    """The genres of the concept's items in every wording that measures."""
    forms = (*divide(questions.BY_GENRE)[Use.HELD_OUT], *questions.BY_GENRE.held_out)
    counts: dict[str, int] = {}
    for item in concept.items:
        for genre in item.genres:
            counts[genre] = counts.get(genre, 0) + 1
    genres = sorted(counts, key=lambda genre: (-counts[genre], genre))[:MOST]
    titles = told(concept, catalogue)

    def _own(genre: str) -> frozenset[str]:
        free = (item for item in concept.items if not any(genre in other.genres for other in titles.alike(item)))
        return frozenset(item.title.casefold() for item in free)

    return tuple(OpenList(form.format(g=genre), genre, _own(genre)) for genre in genres for form in forms)


def mentions(model: LanguageModel, lists: Sequence[OpenList]) -> NDArray[np.float64]:
    """Of each list, the share of its titles that are the concept's; 0 for an answer without any. float64 [lists]."""
    said = speak(model, [one.question for one in lists])
    return np.array([share(answer.text, one.titles) for answer, one in zip(said, lists, strict=True)])


def share(text: str, titles: frozenset[str]) -> float:
    """Titles stand between semicolons.

    >>> share("Casablanca; The Big Sleep", frozenset({"casablanca"}))
    0.5
    """
    listed = [part.strip(" .\n").casefold() for part in text.split(";")]
    return sum(part in titles for part in listed) / len(listed)
