"""What is to be forgotten and on what: a fitted recommender, the concept's items, histories, and items near to them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import numpy as np

from db.errors import LetheError
from db.log import InteractionLog
from recsys.candidates import FloatArray, IntArray
from recsys.semantic_ids.backbone import SemanticIds, once

Progress = Callable[[int, int], None]

NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Of TRACER and of what is compared with it: all have the same steps, batches and learning rate.

    The values are those that the secondary source gives, unless a remark says otherwise.
    """

    steps: int = 300
    """Ours, as `retained` is; both by what the gates of a move find on training rows (docs/experiments.md)."""
    learning_rate: float = 1e-4
    """η of the decoder, taken by Adam (ours) for every method."""
    offset_rate: float = 1e-2
    """η of the offsets, taken as a plain step along the gradient of the batch's sum."""
    forget: float = 1.0
    """λ1"""
    coherence: float = 1.0
    """λ2"""
    size: float = 1e-3
    """λ3, of the offsets' absolute values."""
    neighbours: int = 5
    """K"""
    temperature: float = 0.005
    """τ at the end."""
    first_temperature: float = 0.2
    """τ at the beginning, falling geometrically (ours): at the last value most offsets have no gradient."""
    retained: int = 48
    """Windows of retained items a step."""
    asked: int = 24
    """Concept items with what came before them, a step; ours."""
    beta: float = 0.1
    """Of NPO (Zhang et al. 2024)."""
    suppression: float = 5.0
    """What the logits of the concept's own codes lose where tokens are suppressed; ours."""

    def __post_init__(self) -> None:
        for name in ("steps", "neighbours", "retained", "asked"):
            if getattr(self, name) < 1:
                raise LetheError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in ("learning_rate", "offset_rate", "temperature", "first_temperature", "beta"):
            if not 0 < getattr(self, name) < inf:
                raise LetheError(f"{name} is {getattr(self, name)}: give a number above 0")
        for name in ("forget", "coherence", "size", "suppression"):
            if not 0 <= getattr(self, name) < inf:
                raise LetheError(f"{name} is {getattr(self, name)}: give 0 or a number above it")
        if self.temperature > self.first_temperature:
            raise LetheError(
                f"temperature is {self.temperature}: give at most first_temperature, {self.first_temperature}"
            )

    def cooled(self, step: int) -> float:
        """τ at a step, from 0 to steps − 1."""
        share = step / max(1, self.steps - 1)
        return float(self.first_temperature * (self.temperature / self.first_temperature) ** share)


@dataclass(frozen=True)
class Case:
    """A recommender that knows a concept. `vectors` [items, d] tell which items are near to which."""

    model: SemanticIds
    concept: IntArray
    """Item rows, ascending and distinct."""
    log: InteractionLog
    """The rows that the model was trained on."""
    vectors: FloatArray

    def __post_init__(self) -> None:
        if not len(self.concept) or len(self.concept) >= len(self.model.items):
            raise LetheError(f"a concept of {len(self.concept)} of {len(self.model.items)} items: name some, not all")
        if len(np.unique(self.concept)) != len(self.concept) or self.log.items != self.model.items:
            raise ValueError("the concept names an item twice, or log and model list different items")

    @property
    def retained(self) -> IntArray:
        """Rows of all other items."""
        return np.setdiff1d(np.arange(len(self.model.items)), self.concept)

    def histories(self) -> list[IntArray]:
        """What people met, oldest first and each item once; people without any are left out."""
        return [once(history) for history in self.log.histories() if len(history)]

    def without(self) -> InteractionLog:
        """The log without the concept's rows."""
        return self.log.take(~np.isin(self.log.item, self.concept))

    def near(self, most: int) -> IntArray:
        """For each concept item its nearest retained items by inner product, best first, [concept, most]."""
        others = self.retained
        likeness = self.vectors[self.concept] @ self.vectors[others].T
        return others[np.argsort(-likeness, axis=1, kind="stable")[:, :most]]


@dataclass(frozen=True)
class Retokened:
    """A recommender after forgetting. `closed` items left the trie; `facts` is what the way there came to."""

    model: SemanticIds
    closed: IntArray = field(default_factory=lambda: NOBODY)
    facts: dict[str, float] = field(default_factory=dict)


class TokenMethod(Protocol):
    """A way to forget a concept in a generative recommender. The model it is given stays as it was."""

    name: str

    def forget(self, case: Case, *, seed: int, progress: Progress = lambda done, total: None) -> Retokened:
        """The recommender afterwards; equal arguments give equal tensors on one machine and thread count."""
        ...
