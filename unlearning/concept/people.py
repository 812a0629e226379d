"""Synthetic people whose judgements must stay as they are: nobody's real rows."""

from collections.abc import Sequence

import numpy as np

from db.records import Item
from llm.prompt import JudgePrompt, judge
from llm.tiny.corpus import context_of
from llm.tiny.taste import Tastes
from unlearning.concept.base import Concept
from unlearning.concept.controls import outside


def judged_people(
    concept: Concept, catalogue: Sequence[Item], *, people: int, seed: int, history: int = 8, candidates: int = 10
) -> tuple[JudgePrompt, ...]:
    """Questions about so many drawn tastes; no concept item is in a history or among the candidates."""
    items = outside(concept, catalogue)
    tastes, rng = Tastes(items), np.random.default_rng([seed, 21])
    drawn = (tastes.person(rng, history, candidates) for _ in range(people))
    return tuple(judge(context_of(items, person)) for person in drawn)
