"""The hit-rate matrix of the diversity filter, measured: what a share of one category's rows is worth."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from db.errors import LetheError
from db.files import write_json
from recsys.candidates import Backbone, IntArray
from recsys.heldout import HeldOut
from recsys.metrics import hit_rate, hits, pad
from retrieval.categories import Categories, Floats
from retrieval.filters.draw import draw

LEVELS = np.arange(0, 101, 10)
"""Percent of a category's rows kept."""


@dataclass(frozen=True, slots=True)
class HitRateMatrix:
    """`values[c, l]`: hit rate at `k` with LEVELS[l] percent of category c kept; `people[c]` were measured.

    It descends from everybody's training and validation rows: scope all.
    """

    names: tuple[str, ...]
    values: Floats
    people: tuple[int, ...]
    k: int = 10

    def __post_init__(self) -> None:
        shape = (len(self.names), len(LEVELS))
        if self.values.shape != shape or len(self.people) != len(self.names):
            raise LetheError(f"a hit-rate matrix of shape {self.values.shape} is not {shape}; measure it again")
        if not ((self.values >= 0) & (self.values <= 1)).all():
            raise LetheError("a hit rate is outside 0 to 1; measure the matrix again")

    def fits(self, names: tuple[str, ...]) -> None:
        """Raise unless the matrix was measured for exactly these categories."""
        if names != self.names:
            raise LetheError(f"the hit rates are of {len(self.names)} other categories; run: lethe train")

    def save(self, path: Path) -> None:
        """Write one JSON document atomically."""
        write_json(
            path, {"names": self.names, "people": self.people, "k": self.k, "values": self.values.round(6).tolist()}
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        if not path.is_file():
            raise LetheError(f"no hit-rate matrix at {path}; run: lethe train")
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(stored["names"]), np.array(stored["values"]), tuple(stored["people"]), int(stored["k"]))


@dataclass(frozen=True, slots=True)
class HitRateFitter:
    """Measures the matrix on validation people through the backbone's served path.

    For category c and level p, each person who has rows of c is served from p% of them alone (rounded up, drawn by
    `seed`), the rows of other categories removed: the value is the share of these people whose k retrieved items hold
    a validation row, 0 for p = 0. (With the other rows left in, the curves are nearly flat and the filter chose worse:
    docs/experiments.md.)
    """

    k: int = 10
    seed: int = 0
    people: int = 300
    """At most so many people a category, drawn by `seed`."""

    def fit(
        self,
        backbone: Backbone,
        validation: HeldOut,
        categories: Categories,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> HitRateMatrix:
        """Measure every category; one that nobody has gets a row of zeros and 0 people."""
        counts = np.stack([categories.counts(history) for history in validation.histories])
        values = np.zeros((len(categories), len(LEVELS)))
        measured = []
        for category in range(len(categories)):
            who = self._sample(np.flatnonzero(counts[:, category] > 0))
            chosen = validation.take(np.isin(np.arange(len(counts)), who))
            if len(who):
                values[category] = [self._measure(backbone, chosen, categories, category, int(p)) for p in LEVELS]
            measured.append(len(who))
            progress(category + 1, len(categories))
        return HitRateMatrix(categories.names, values, tuple(measured), self.k)

    def _sample(self, who: IntArray) -> IntArray:
        if len(who) <= self.people:
            return who
        return np.random.default_rng(self.seed).choice(who, size=self.people, replace=False)

    def _measure(self, backbone: Backbone, who: HeldOut, categories: Categories, category: int, percent: int) -> float:
        histories = [
            thinned(history, categories, category, percent, seed=self.seed + person)
            for person, history in zip(who.people.tolist(), who.histories, strict=True)
        ]
        return float(_hit(backbone, histories, who, self.k).mean())


def thinned(history: IntArray, categories: Categories, category: int, percent: int, *, seed: int) -> IntArray:
    """`percent` of the rows that are in `category`, rounded up, in time order, and no others."""
    inside = history[categories.weight[history, category] > 0]
    kept = -(-len(inside) * percent // 100)
    kept_rows: IntArray = inside[draw(np.ones((len(inside), 1)), np.array([kept]), seed=seed)]
    return kept_rows


def _hit(backbone: Backbone, histories: Sequence[IntArray], who: HeldOut, k: int) -> Floats:
    found = backbone.candidates(histories, who.exclude, k)
    return hit_rate(hits(pad([c.rows for c in found], k), who.relevant), k)
