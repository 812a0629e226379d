"""Does what was chosen carry the concept? Zeroing it must cost the concept more than zeroing as much at random."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from llm.model import LanguageModel
from unlearning.concept.base import Probe, Progress, quiet
from unlearning.concept.mask import Mask, Places
from unlearning.concept.places import Rewrite, down_projections, output_projections, rewritten
from unlearning.concept.recall import recall
from unlearning.concept.scoring import random_neurons, redrawn


@contextmanager
def ablated(model: LanguageModel, mask: Mask) -> Iterator[LanguageModel]:
    """Within the context the mask's neurons and heads are zero at every token; after it the model is as before."""
    head_size = output_projections(model.model)[0].get_parameter("weight").shape[1] // mask.shape.heads
    with ExitStack() as stack:
        stack.enter_context(rewritten(down_projections(model.model), _zeroing(mask.neurons, 1)))
        stack.enter_context(rewritten(output_projections(model.model), _zeroing(mask.heads, head_size)))
        yield model


def _zeroing(places: Places, size: int) -> Rewrite:
    def _zero(layer: int, entering: Tensor) -> Tensor:
        if not places[layer]:
            return entering
        columns = [place * size + offset for place in places[layer] for offset in range(size)]
        return entering.index_fill(-1, torch.tensor(columns, device=entering.device), 0.0)

    return _zero


@dataclass(frozen=True, slots=True)
class CausalCheck:
    """What zeroing costs, in nats: the mean fall of an answer's log-probability over probes."""

    chosen: float
    """On the concept, with the chosen places."""
    chosen_controls: float
    """On the matched controls, with the chosen places."""
    random: tuple[float, ...]
    """On the concept, with as many neurons from all layers."""
    layered: tuple[float, ...]
    """On the concept, with as many neurons from the same layers."""

    @property
    def passed(self) -> bool:
        """The chosen places cost the concept more than every random set did."""
        return self.chosen > max(self.random)

    @property
    def beats_layered(self) -> float:
        """The share of random sets from the same layers that cost the concept less."""
        return sum(fall < self.chosen for fall in self.layered) / len(self.layered)


def causal_check(
    model: LanguageModel,
    mask: Mask,
    probes: Sequence[Probe],
    *,
    draws: int = 20,
    seed: int = 0,
    progress: Progress = quiet,
) -> CausalCheck:
    """Zero the mask, then `draws` random sets of its size from all layers, then as many from its own layers.

    `probes` are facts of the concept, with their contrast. The mask's heads are left out of the comparison.
    """
    mask = replace(mask, heads=((),) * mask.shape.layers)
    paired = [probe for probe in probes if probe.contrast and probe.contrast_answer]
    controls = [replace(p, question=p.contrast, answers=(p.contrast_answer,), contrast="") for p in paired]
    drawn = [random_neurons(mask.shape, mask.size, seed=seed * draws + n) for n in range(draws)]
    drawn += [redrawn(mask, seed=seed * draws + n) for n in range(draws)]
    before, before_controls = (recall(model, asked).log_prob.mean() for asked in (probes, controls))
    falls = []
    for done, one in enumerate((mask, *drawn)):
        with ablated(model, one):
            falls.append(float(before - recall(model, probes).log_prob.mean()))
        progress(done + 1, 2 * draws + 1)
    with ablated(model, mask):
        on_controls = float(before_controls - recall(model, controls).log_prob.mean())
    return CausalCheck(falls[0], on_controls, tuple(falls[1 : draws + 1]), tuple(falls[draws + 1 :]))
