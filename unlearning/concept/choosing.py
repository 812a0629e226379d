"""The mask that settings ask for, from a model and a lesson."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from db.errors import LetheError
from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Probe, ProbeKind, Use
from unlearning.concept.mask import Mask, by_layer, whole
from unlearning.concept.places import shape_of
from unlearning.concept.rows import Row, Turn, encode_rows
from unlearning.concept.scoring import contrast, fisher_ratio, highest, random_neurons, redrawn, top_neurons
from unlearning.concept.settings import ConceptSettings, MaskName
from unlearning.concept.traces import FloatArray, gradient_norms, trace, weight_norms

MOST_PAIRS = 256
"""Contrast pairs that are traced; more are drawn from."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A mask with the score of every neuron that led to it; None where nothing was scored."""

    mask: Mask
    scores: FloatArray | None

    @property
    def chosen_scores(self) -> list[list[float]]:
        """Scores of the chosen neurons, layer by layer, in the mask's order."""
        if self.scores is None:
            return []
        return [
            [round(float(self.scores[layer, j]), 4) for j in chosen] for layer, chosen in enumerate(self.mask.neurons)
        ]


def contrast_pairs(lesson: Lesson, *, seed: int) -> list[Probe]:
    """Training probes that have a matched control in the same wording, at most `MOST_PAIRS`, drawn by the seed."""
    paired = [p for p in lesson.probes.of(ProbeKind.DIRECT, use=Use.TRAIN) if p.contrast and p.contrast_answer]
    if not paired:
        raise LetheError(f"lesson on {lesson.concept.name!r} has no probe with a matched control: nothing to contrast")
    order = np.random.default_rng([seed, 13]).permutation(len(paired))[:MOST_PAIRS]
    return [paired[place] for place in order]


def concept_rows(model: LanguageModel, pairs: Sequence[Probe]) -> list[Row]:
    """The concept's side of contrast pairs."""
    return encode_rows(model, [Turn(probe.question, probe.answers[0]) for probe in pairs])


def control_rows(model: LanguageModel, pairs: Sequence[Probe]) -> list[Row]:
    """The controls' side, in the same order."""
    return encode_rows(model, [Turn(probe.contrast, probe.contrast_answer) for probe in pairs])


def choose(model: LanguageModel, lesson: Lesson, settings: ConceptSettings, *, seed: int) -> Choice:
    """The mask that `settings` name, of `settings.neurons` neurons and `settings.heads` heads.

    Heads are chosen as neurons are: by contrast for a guided mask, at random otherwise.
    """
    shape = shape_of(model.model)
    if settings.mask is MaskName.NONE:
        return Choice(whole(shape), None)
    if settings.mask is MaskName.RANDOM:
        return Choice(_random_heads(random_neurons(shape, settings.neurons, seed=seed), settings.heads, seed), None)
    pairs = contrast_pairs(lesson, seed=seed)
    if settings.mask is MaskName.LAYERED:
        guided = _guided(model, pairs, settings)
        return Choice(_random_heads(redrawn(guided.mask, seed=seed), settings.heads, seed), None)
    if settings.mask is MaskName.GUIDED:
        return _guided(model, pairs, settings)
    scores = _SCORES[settings.mask](model, pairs)
    mask = top_neurons(scores, shape, settings.neurons, cap=settings.cap, origin=settings.mask.value)
    return Choice(_random_heads(mask, settings.heads, seed), scores)


def _guided(model: LanguageModel, pairs: Sequence[Probe], settings: ConceptSettings) -> Choice:
    forget = trace(model, concept_rows(model, pairs), signal=settings.signal)
    retain = trace(model, control_rows(model, pairs), signal=settings.signal)
    scores = contrast(forget.saliency, retain.saliency, settings.beta)
    mask = top_neurons(scores, shape_of(model.model), settings.neurons, cap=settings.cap, origin="guided")
    by_head = contrast(forget.head_saliency, retain.head_saliency, settings.beta)
    return Choice(_with_heads(mask, highest(by_head, settings.heads, 1.0)), scores)


def _by_fisher(model: LanguageModel, pairs: Sequence[Probe]) -> FloatArray:
    return fisher_ratio(
        trace(model, concept_rows(model, pairs)).fisher, trace(model, control_rows(model, pairs)).fisher
    )


def _by_gradient(model: LanguageModel, pairs: Sequence[Probe]) -> FloatArray:
    return gradient_norms(model, concept_rows(model, pairs))


def _by_weights(model: LanguageModel, _pairs: Sequence[Probe]) -> FloatArray:
    return weight_norms(model)


_SCORES: Mapping[MaskName, Callable[[LanguageModel, Sequence[Probe]], FloatArray]] = {
    MaskName.FISHER: _by_fisher,
    MaskName.SALUN: _by_gradient,
    MaskName.MAGNITUDE: _by_weights,
}


def _random_heads(mask: Mask, count: int, seed: int) -> Mask:
    places = [(layer, head) for layer in range(mask.shape.layers) for head in range(mask.shape.heads)]
    order = np.random.default_rng([seed, 14]).permutation(len(places))[:count]
    return _with_heads(mask, [places[place] for place in order])


def _with_heads(mask: Mask, chosen: Sequence[tuple[int, int]]) -> Mask:
    return replace(mask, heads=by_layer(chosen, mask.shape.layers))
