"""Synthetic people whose judgements must stay as they are: nobody's real rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from db.records import Item
from llm.prompt import JudgePrompt, describe, judge
from llm.tiny.corpus import context_of
from llm.tiny.taste import Tastes
from llm.tiny.titles import InventedTitles
from retrieval.context import Context
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


def disguised_people(
    concept: Concept, catalogue: Sequence[Item], *, people: int, seed: int, history: int = 8, candidates: int = 3
) -> tuple[tuple[JudgePrompt, JudgePrompt], ...]:
    """Questions about so many drawn tastes and concept items, each beside the same under invented titles.

    Every candidate comes with its facts, and by its title alone. No concept item is in a history.
    """
    items = outside(concept, catalogue)
    tastes, invented = Tastes(items), InventedTitles(catalogue)
    rng = np.random.default_rng([seed, 26])
    made = []
    for _ in range(people):
        met = context_of(items, tastes.person(rng, history, 2))
        rows = rng.permutation(len(concept.items))[:candidates]
        own = tuple(concept.items[row] for row in rows)
        other = tuple(replace(item, title=invented.draw(rng)) for item in own)
        made.append((_told_twice(replace(met, candidates=own)), _told_twice(replace(met, candidates=other))))
    return tuple(made)


def _told_twice(context: Context) -> JudgePrompt:
    """The judging prompt, with every candidate once more by its title alone."""
    asked = judge(context)
    bare = tuple(f"Candidate: {describe(Item(item.id, item.title))}" for item in context.candidates)
    return JudgePrompt(asked.prefix, asked.suffixes + bare)
