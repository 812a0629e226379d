"""Would other prompts have led to the same mask?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Probe
from unlearning.concept.choosing import concept_rows, contrast_pairs, control_rows
from unlearning.concept.places import shape_of
from unlearning.concept.scoring import contrast, rank_correlation, top_neurons
from unlearning.concept.settings import ConceptSettings
from unlearning.concept.traces import FloatArray, trace


@dataclass(frozen=True, slots=True)
class Stability:
    """Jaccard overlaps of masks, and what two random masks of that size would have."""

    halves: tuple[float, ...]
    """Between masks from two halves of the prompts, of each split."""
    seeds: tuple[float, ...]
    """Between masks from half of the prompts, over all pairs of splits."""
    chance: float
    saliency_fisher: float
    """Rank correlation of saliency and Fisher on the concept, over all neurons."""


def stability(model: LanguageModel, lesson: Lesson, settings: ConceptSettings, *, splits: int, seed: int) -> Stability:
    """Split the contrast prompts in halves `splits` times, and choose a guided mask from each half."""
    pairs = contrast_pairs(lesson, seed=seed)
    rng = np.random.default_rng([seed, 15])
    orders = [rng.permutation(len(pairs)) for _ in range(splits)]
    shape = shape_of(model.model)
    halves = []
    for order in orders:
        parts = (order[: len(order) // 2], order[len(order) // 2 :])
        scores = [_scores(model, [pairs[place] for place in part], settings) for part in parts]
        halves.append([top_neurons(s, shape, settings.neurons, cap=settings.cap, origin="guided") for s in scores])
    every = trace(model, concept_rows(model, pairs))
    share = settings.neurons / (shape.layers * shape.width)
    return Stability(
        halves=tuple(first.jaccard(second) for first, second in halves),
        seeds=tuple(first[0].jaccard(second[0]) for first, second in combinations(halves, 2)),
        chance=share / (2 - share),
        saliency_fisher=rank_correlation(every.saliency, every.fisher),
    )


def _scores(model: LanguageModel, pairs: Sequence[Probe], settings: ConceptSettings) -> FloatArray:
    forget = trace(model, concept_rows(model, pairs), signal=settings.signal)
    retain = trace(model, control_rows(model, pairs), signal=settings.signal)
    return contrast(forget.saliency, retain.saliency, settings.beta)
