"""Synthetic people: a taste over genres and eras, a history drawn from it, and candidates with known answers.

A taste gives every catalogue item a utility: liked genres add, disliked genres subtract, and there may be a favourite
era. History and positives are drawn with probability proportional to exp(utility); negatives are drawn without
regard to the taste. What is to be learned is therefore the ratio of the two densities, not the plain overlap: sharing a
rare genre says more than sharing a common one. Nobody's real rows are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.records import Item
from llm.tiny.titles import held_out

Utilities = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Person:
    """Rows into the catalogue: the history, and candidates with what the taste says of them."""

    history: NDArray[np.int64]
    candidates: NDArray[np.int64]
    liked: NDArray[np.bool_]
    utility: Utilities
    """The utility of each candidate; the best rank by which `liked` can be told."""

    def among(self, keep: NDArray[np.bool_]) -> "Person":
        """The person as they would be known by the catalogue rows to keep, [items]."""
        kept = keep[self.candidates]
        return Person(self.history[keep[self.history]], self.candidates[kept], self.liked[kept], self.utility[kept])


class Tastes:
    """Draws synthetic people over one catalogue."""

    def __init__(self, items: Sequence[Item]) -> None:
        names = sorted({genre for item in items for genre in item.genres})
        carries = np.array([[name in item.genres for name in names] for item in items], dtype=np.float64)
        self._ids = [item.id for item in items]
        self._genres = carries / np.sqrt(np.maximum(carries.sum(1, keepdims=True), 1))
        self._common = np.sqrt(carries.sum(0)) / np.sqrt(carries.sum(0)).sum()
        self._years = np.array([np.nan if item.year is None else item.year for item in items])

    def utilities(self, rng: np.random.Generator) -> Utilities:
        """One taste: the utility of every item."""
        weights = np.zeros(len(self._common))
        picked = rng.choice(len(weights), size=min(5, len(weights)), replace=False, p=self._common)
        liked, disliked = rng.integers(1, 4), rng.integers(1, 3)
        weights[picked[:liked]] = rng.uniform(3.0, 7.0, len(picked[:liked]))
        weights[picked[liked : liked + disliked]] = -rng.uniform(2.0, 5.0, len(picked[liked : liked + disliked]))
        utility: Utilities = self._genres @ weights + self._era(rng)
        return utility

    def _era(self, rng: np.random.Generator) -> Utilities:
        if rng.random() < 0.5:
            return np.zeros(len(self._years))
        centre, width, strength = rng.uniform(1935, 1998), rng.uniform(4, 15), rng.uniform(2, 5)
        return np.nan_to_num(strength * np.exp(-(((self._years - centre) / width) ** 2)))

    def person(
        self, rng: np.random.Generator, history: int, candidates: int, *, positives: int = 0, evaluation: bool = False
    ) -> Person:
        """A person with so many history rows and candidates; half are liked, or `positives` of them if given.

        People for training and for evaluation are disjoint by the hash of their history.
        """
        while True:
            drawn = self._draw(rng, history, candidates, positives or int(rng.binomial(candidates, 0.5)))
            if held_out(" ".join(self._ids[row] for row in drawn.history)) == evaluation:
                return drawn

    def _draw(self, rng: np.random.Generator, history: int, candidates: int, positives: int) -> Person:
        utility = self.utilities(rng)
        exposure = rng.normal(0.0, 0.7, len(utility))
        noise = rng.gumbel(size=len(utility))
        # The largest utility + Gumbel noise are draws from exp(utility) without replacement.
        likely = np.argsort(-(utility + exposure + noise), kind="stable")[: history + positives]
        likely = rng.permutation(likely)
        rest = np.setdiff1d(np.arange(len(utility)), likely)
        by_chance = exposure[rest] + rng.gumbel(size=len(rest))
        negatives = rest[np.argsort(-by_chance, kind="stable")[: candidates - positives]]
        order = rng.permutation(candidates)
        offered = np.concatenate([likely[history:], negatives])[order]
        liked = (np.arange(candidates) < positives)[order]
        return Person(likely[:history], offered, liked, utility[offered])
