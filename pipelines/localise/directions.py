"""Angles between forgetting a concept and keeping its controls, layer by layer, beside what halves of one set have."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from llm.model import LanguageModel
from unlearning.concept.base import Probe, Progress
from unlearning.concept.choosing import concept_rows, control_rows
from unlearning.concept.gradients import angle, gram, layer_gradients

PARTS = 4
"""Parts of the prompts; halves are two of them together. Of each part two gradients are held at a time."""

Floats = NDArray[np.float64]


def measured(model: LanguageModel, pairs: Sequence[Probe], *, seed: int, progress: Progress) -> list[dict[str, Any]]:
    """Degrees between gradients of the loss on a concept and on its controls, of each layer.

    `forget_retain` over all prompts, `deviation` that between halves of the prompts. `same` is the mean angle between
    two halves of the concept's own prompts: what chance alone makes. Unlearning goes up the concept's gradient and down
    the controls': where the angle is below 90 the one works against the other.
    """
    if len(pairs) < PARTS:
        raise LetheError(f"{len(pairs)} contrast prompts: name a concept with {PARTS} at least")
    rows = (concept_rows(model, pairs), control_rows(model, pairs))
    parts = np.array_split(np.random.default_rng([seed, 38]).permutation(len(pairs)), PARTS)
    gradients = []
    for side in rows:
        for part in parts:
            gradients.append(layer_gradients(model, [side[place] for place in part.tolist()]))
            progress(len(gradients), 2 * PARTS)
    return [{"layer": layer, **_told(products)} for layer, products in enumerate(gram(gradients))]


def _told(products: Floats) -> dict[str, float]:
    """From the inner products of the concept's parts, then the controls'."""
    halves = [np.isin(np.arange(PARTS), one).astype(np.float64) for one in combinations(range(PARTS), PARTS // 2)]
    apart = [angle(products, _concept(one), _controls(one)) for one in halves]
    same = [angle(products, _concept(one), _concept(1 - one)) for one in halves]
    whole = np.ones(PARTS)
    return {
        "forget_retain": angle(products, _concept(whole), _controls(whole)),
        "deviation": float(np.std(apart, ddof=1)),
        "same": float(np.mean(same)),
    }


def _concept(parts: Floats) -> Floats:
    return np.concatenate([parts, np.zeros(PARTS)])


def _controls(parts: Floats) -> Floats:
    return np.concatenate([np.zeros(PARTS), parts])
