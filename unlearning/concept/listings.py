"""Lists for synthetic people, with concept items among them: how many come to the top, and how the others fare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.records import Item, ItemId, UserId
from llm.model import LanguageModel
from llm.prompt import judge
from llm.tiny.corpus import context_of
from llm.tiny.taste import Tastes
from retrieval.context import Context
from unlearning.concept.base import Concept
from unlearning.concept.controls import outside, unlike
from unlearning.concept.judgement import leanings

TOP = 5
"""Slots that count as exposure."""
CUTOFF = 10
"""Of NDCG."""
_HISTORY, _OTHERS, _MEANT = 8, 12, 4


@dataclass(frozen=True, slots=True)
class Listing:
    """One person's history and candidates: others first, then concept items, then their controls."""

    history: tuple[Item, ...]
    candidates: tuple[Item, ...]
    liked: NDArray[np.bool_]
    """Of the others alone, by the taste that the history was drawn from."""
    meant: int
    """How many concept items there are."""

    @property
    def pairs(self) -> tuple[tuple[Item, Item], ...]:
        """Each concept item with its control."""
        added = self.candidates[len(self.liked) :]
        return tuple(zip(added[: self.meant], added[self.meant :], strict=True))

    @property
    def questions(self) -> tuple[str, ...]:
        """One a candidate."""
        asked = judge(Context(UserId("synthetic"), self.history, self.candidates))
        return tuple(asked.prefix + suffix for suffix in asked.suffixes)


def draw_listings(
    concept: Concept, catalogue: Sequence[Item], controls: Mapping[ItemId, Item], *, people: int, seed: int
) -> tuple[Listing, ...]:
    """So many people whose history and other candidates hold neither a concept item nor a control.

    Of four times as many those are taken whose history is most like the concept: others would not be shown it anyway.
    """
    used = {control.id for control in controls.values()}
    items = tuple(item for item in outside(concept, catalogue) if item.id not in used)
    tastes, rng = Tastes(items), np.random.default_rng([seed, 23])
    made = []
    for _ in range(4 * people):
        person = tastes.person(rng, _HISTORY, _OTHERS, evaluation=True)
        seen = context_of(items, person)
        meant = [concept.items[row] for row in rng.permutation(len(concept.items))[:_MEANT]]
        candidates = (*seen.candidates, *meant, *(controls[item.id] for item in meant))
        made.append(Listing(seen.history, candidates, person.liked, len(meant)))
    return tuple(sorted(made, key=_unlikeness)[:people])


def _unlikeness(one: Listing) -> float:
    """Mean distance of the concept items in a list from the history."""
    meant = one.candidates[len(one.liked) :][: one.meant]
    return float(np.mean([unlike(item, seen) for item in meant for seen in one.history]))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Of each listing, in order."""

    exposure: NDArray[np.float64]
    """The share of the top slots that concept items take."""
    ndcg: NDArray[np.float64]
    """NDCG of the others alone, against what the person likes."""


def rank(model: LanguageModel, listings: Sequence[Listing]) -> Ranked:
    """Order every listing by the model alone; ties keep the order of the candidates."""
    scores = leanings(model, [question for one in listings for question in one.questions])
    cuts = np.cumsum([len(one.candidates) for one in listings])[:-1]
    exposures, ndcgs = [], []
    for one, found in zip(listings, np.split(scores, cuts) if listings else [], strict=True):
        others = len(one.liked)
        top = np.argsort(-found, kind="stable")[:TOP]
        exposures.append(float(((top >= others) & (top < others + one.meant)).mean()))
        ndcgs.append(ndcg(found[:others], one.liked))
    return Ranked(np.array(exposures), np.array(ndcgs))


def ndcg(scores: NDArray[np.float64], liked: NDArray[np.bool_]) -> float:
    """NDCG at `CUTOFF` with relevance 0 and 1; 1 where nothing is liked.

    >>> round(ndcg(np.array([1.0, 2.0, 0.0]), np.array([True, False, False])), 3)
    0.631
    """
    gains = liked[np.argsort(-scores, kind="stable")][:CUTOFF] / np.log2(np.arange(2, min(CUTOFF, len(liked)) + 2))
    best = (1 / np.log2(np.arange(2, min(CUTOFF, int(liked.sum())) + 2))).sum()
    return float(gains.sum() / best) if best else 1.0
