"""One arm at work on one concept: everything that a surface may look at, made when it is looked at."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from db.records import Item, ItemId
from llm.model import LanguageModel
from llm.rerank import rerank
from llm.score.base import Scorer, Scores
from pipelines.compare.arms import Arm
from pipelines.compare.spec import Scope
from pipelines.compare.world import PLAIN, Bools, Crowd, Found, World
from pipelines.evaluate_concepts.subject import Subject
from recsys.candidates import FloatArray, IntArray
from retrieval.context import Context
from unlearning.concept.base import Concept, Forgetting

Make = Callable[[LanguageModel], Scorer]
"""A scorer that asks a model."""

Embed = Callable[[Sequence[str]], FloatArray]
"""Unit vectors of texts."""

CHUNK = 16
"""Prompts that are put at a time."""


class Said:
    """A scorer that has been asked already: its answers serve lists of several weights."""

    name = "said"

    def __init__(self, scores: Sequence[Scores]) -> None:
        self._scores = scores

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """What was said of these contexts, all of which have a history."""
        return list(self._scores)


@dataclass(slots=True)
class Case:
    """An arm with its language model and its forgetting; `plain` is the model that others are served by."""

    arm: Arm
    scope: Scope
    subject: Subject
    world: World
    plain: LanguageModel
    base: LanguageModel
    """What the forgetting is applied to: the plain model, or the fork."""
    forgetting: Forgetting
    make: Make
    embed: Embed
    seed: int = 0
    unusable: int = 0
    """Lists so far on which the model had no usable opinion."""
    _found: Found | None = None
    _scores: list[Scores] = field(default_factory=list)

    @property
    def concept(self) -> Concept:
        """What is to be forgotten."""
        return self.subject.concept

    @property
    def crowd(self) -> Crowd:
        """The people who are asked about."""
        return self.world.crowd(self.concept)

    @property
    def concerned(self) -> Bools:
        """Who of them is to be served without the concept."""
        return self.crowd.concerned(self.scope)

    @property
    def where(self) -> tuple[Concept, Arm, Scope]:
        """What the search has to know."""
        return self.concept, self.arm, self.scope

    @property
    def found(self) -> Found:
        """What the search brings them."""
        if self._found is None:
            self._found = self.world.found(*self.where, seed=self.seed)
        return self._found

    @contextmanager
    def forgotten(self) -> Iterator[LanguageModel]:
        """Within the context the language model as the arm leaves it."""
        with self.forgetting.applied(self.base) as changed:
            yield changed

    def opinions(self, contexts: Sequence[Context]) -> list[Scores]:
        """What the model says as the arm leaves it."""
        with self.forgotten() as changed:
            said = scored(self.make(changed), contexts)
        self.unusable += _unusable(said)
        return said

    def lists(self, weight: float) -> list[tuple[ItemId, ...]]:
        """Everybody's list, best first: those concerned by the arm's model, the others by the plain one."""
        if not self._scores:
            contexts, own = self.found.contexts, self.concerned
            mine, theirs = (
                [c for c, is_own in zip(contexts, own.tolist(), strict=True) if is_own is which]
                for which in (True, False)
            )
            with self.forgotten() as changed:
                told = iter(scored(self.make(changed), mine))
            rest = iter(scored(self.make(self.plain), theirs))
            self._scores = [next(told if is_own else rest) for is_own in own.tolist()]
        self.unusable += _unusable(self._scores)
        return ranked(self.found, self._scores, weight)

    def unforgotten(self, weight: float) -> list[tuple[ItemId, ...]]:
        """The lists of those who are not concerned, had nobody asked for anything."""
        found = self.world.found(self.concept, PLAIN, self.scope, seed=self.seed)
        others = np.flatnonzero(~self.concerned).tolist()
        own = Found(tuple(found.candidates[p] for p in others), tuple(found.contexts[p] for p in others))
        return ranked(own, scored(self.make(self.plain), own.contexts), weight)

    def rows(self, lists: Sequence[Sequence[ItemId]]) -> list[IntArray]:
        """Lists as item rows."""
        known = {item.id: row for row, item in enumerate(self.world.data.items)}
        return [np.array([known[item] for item in one], dtype=np.int64) for one in lists]

    def drawn(self, most: int) -> list[Item]:
        """Concept items by lot, the same under every arm."""
        order = np.random.default_rng([self.world.how.seed, 42]).permutation(len(self.concept.items))[:most]
        return [self.concept.items[place] for place in order.tolist()]


def scored(scorer: Scorer, contexts: Sequence[Context]) -> list[Scores]:
    """Opinions on every context, some at a time."""
    said: list[Scores] = []
    for start in range(0, len(contexts), CHUNK):
        said += scorer.score(contexts[start : start + CHUNK])
    return said


def _unusable(said: Sequence[Scores]) -> int:
    return sum(not one.usable for one in said)


def ranked(found: Found, scores: Sequence[Scores], weight: float) -> list[tuple[ItemId, ...]]:
    """Each person's candidates in their order, with so much of the model's opinion."""
    told = [one for one, context in zip(scores, found.contexts, strict=True) if context.history]
    lists = rerank(found.contexts, [one.scores for one in found.candidates], Said(told), weight)
    return [one.items for one in lists]
