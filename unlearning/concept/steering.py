"""Mean-difference steering: states are driven off the direction from matched controls to the concept, at one layer.

The direction d is the mean state of the concept's questions less that of the controls', where answers are predicted
(Rimsky et al. 2024). `shift` takes c d from every token's state; `project` moves a state's part along d towards the
controls' mean instead, so that a state that has no such part stays (after Marshall et al. 2024, affine editing).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Progress, quiet
from unlearning.concept.choosing import concept_rows, contrast_pairs, control_rows
from unlearning.concept.masked_lora import Watch
from unlearning.concept.objective import listening
from unlearning.concept.rows import Row, batches, hidden_states
from unlearning.concept.tuned import best_of, told

Facts = Mapping[str, int | float | str]

WAYS = ("shift", "project")


@dataclass(frozen=True, slots=True)
class Steered:
    """A direction at one layer, and how hard states are driven off it."""

    layer: int
    concept: Tensor
    """Mean state of the concept's rows, float32 [hidden]."""
    control: Tensor
    way: str
    strength: float
    facts: Facts

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        """As `Forgetting.applied`, in place, by a hook."""
        layer = model.model.get_decoder().layers[self.layer]
        hook = layer.register_forward_hook(self._leaving)
        try:
            yield model
        finally:
            hook.remove()

    def driven(self, states: Tensor) -> Tensor:
        """What becomes of states [..., hidden]; the dtype stays."""
        control, apart = self.control.to(states.device), (self.concept - self.control).to(states.device)
        if self.way == "shift":
            return (states.float() - self.strength * apart).to(states.dtype)
        unit = apart / apart.norm()
        along = (states.float() - control) @ unit
        driven: Tensor = states.float() - self.strength * along[..., None] * unit
        return driven.to(states.dtype)

    def _leaving(self, _module: Any, _given: Any, said: Any) -> Any:
        """A forward hook: the layer's output, driven."""
        return self.driven(said) if isinstance(said, Tensor) else (self.driven(said[0]), *said[1:])


@dataclass(frozen=True, slots=True)
class Steering:
    """Reads two means a layer; layer, way and strength are what the selecting probes like best."""

    strengths: tuple[float, ...] = (1.0, 2.0, 4.0)
    depths: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Layers to try, as shares of the model's depth."""
    name: str = "steering"

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> Steered:
        """As `ConceptUnlearner.fit`."""
        pairs = contrast_pairs(lesson, seed=seed)
        count = len(model.model.get_decoder().layers)
        layers = sorted({min(count - 1, int(share * count)) for share in self.depths})
        concept, control = (mean_states(model, rows(model, pairs), layers) for rows in (concept_rows, control_rows))
        grid = list(product(range(len(layers)), WAYS, self.strengths))
        made = (
            Steered(layers[at], concept[at], control[at], way, strength, _facts(layers[at], way, strength))
            for at, way, strength in grid
        )
        found, check = best_of(model, made, Watch.of(lesson, seed), count=len(grid), progress=progress)
        facts = {**found.facts, **told(check)}
        return Steered(found.layer, found.concept, found.control, found.way, found.strength, facts)


@torch.inference_mode()
def mean_states(model: LanguageModel, rows: Sequence[Row], layers: Sequence[int]) -> list[Tensor]:
    """Mean of what each of these layers says where answers are predicted, float32 [hidden], on the CPU."""
    decoder = model.model.get_decoder()
    totals = [torch.zeros(model.model.config.hidden_size, dtype=torch.float64) for _ in layers]
    count = 0
    for batch in batches(rows, model.device):
        with ExitStack() as stack:
            heard = [stack.enter_context(listening(decoder.layers[layer])) for layer in layers]
            hidden_states(model, batch)
        count += len(batch.places)
        for total, (states,) in zip(totals, heard, strict=True):
            total += states.flatten(0, 1).index_select(0, batch.places).double().sum(0).cpu()
    return [(total / count).float().clone() for total in totals]


def _facts(layer: int, way: str, strength: float) -> dict[str, int | float | str]:
    return {"layer": layer, "way": way, "strength": strength}
