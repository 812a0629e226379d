"""Selective synaptic dampening: weights that matter far more to the concept than to what stays are scaled down.

Foster, Schoepf and Brintrup 2024 (eq. 6-7), without any training. The second Fisher is that of the kept rows alone; a
grid of thresholds stands in for the paper's single one, and the selecting probes choose.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Probe, ProbeSet, Progress, Use, quiet
from unlearning.concept.masked_lora import Watch
from unlearning.concept.rows import Turn, encode_rows
from unlearning.concept.tuned import best_of, told
from unlearning.concept.weights import Scaling, fisher, scaled

Facts = Mapping[str, int | float | str]

MOST_ROWS = 256
"""Rows of each side whose gradients are read; drawn by the seed."""


@dataclass(frozen=True, slots=True)
class Dampened:
    """Factors below one for some entries of some weights."""

    scalings: Mapping[str, Scaling]
    facts: Facts

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        """As `Forgetting.applied`, in place."""
        with scaled(model.model, self.scalings):
            yield model


def dampened(
    forget: Mapping[str, Tensor], keep: Mapping[str, Tensor], *, threshold: float, strength: float
) -> Dampened:
    """Where F_forget > threshold F_keep the factor is min(strength F_keep / F_forget, 1); elsewhere nothing changes."""
    scalings = {}
    for name, mine in forget.items():
        theirs = keep[name].flatten()
        places = (mine.flatten() > threshold * theirs).nonzero()[:, 0]
        factors = (strength * theirs[places] / mine.flatten()[places]).clamp(max=1.0)
        if len(places):
            scalings[name] = Scaling(places.cpu(), factors.cpu())
    entries = sum(len(scaling.places) for scaling in scalings.values())
    every = sum(mine.numel() for mine in forget.values())
    facts = {"threshold": threshold, "strength": strength, "entries": entries, "share": round(entries / every, 6)}
    return Dampened(scalings, facts)


@dataclass(frozen=True, slots=True)
class Dampening:
    """Fits by two readings of gradients, over all weights of the model."""

    thresholds: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    """The paper's alpha; it uses 10."""
    strength: float = 1.0
    """The paper's lambda."""
    name: str = "ssd"

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> Dampened:
        """As `ConceptUnlearner.fit`."""
        forget, keep = (
            fisher(model, encode_rows(model, _turns(part, seed)), progress=progress)
            for part in (lesson.probes.forgotten(Use.TRAIN), lesson.probes.kept(Use.TRAIN))
        )
        made = (dampened(forget, keep, threshold=one, strength=self.strength) for one in self.thresholds)
        found, check = best_of(model, made, Watch.of(lesson, seed), count=len(self.thresholds), progress=progress)
        return Dampened(found.scalings, {**found.facts, **told(check)})


def _turns(probes: ProbeSet, seed: int) -> list[Turn]:
    order = np.random.default_rng([seed, 31]).permutation(len(probes))[:MOST_ROWS]
    drawn: list[Probe] = [probes.probes[place] for place in order]
    return [Turn(probe.question, probe.answers[0], begun=probe.begun) for probe in drawn]
