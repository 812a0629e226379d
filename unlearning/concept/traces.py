"""Activations and gradients where neurons and heads sit, as means over the tokens of questions and answers.

With a the input of `down_proj` and g the gradient, at that point, of the summed negative log-probability of an answer:
saliency is E|a g|, Fisher E[g^2]. For a head both are summed over its block of the input of `o_proj` first. Nothing of
the model is trained or kept: values are added up as the gradients arrive.

The gradient of a loss vanishes where the answer is certain, so that what a model knows best leaves the least trace.
With `Signal.MARGIN` it is that of log((1 - p)/p) of every answer token, which does not.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from llm.model import LanguageModel
from unlearning.concept.base import Progress, quiet
from unlearning.concept.places import Rewrite, down_projections, output_projections, rewritten, shape_of
from unlearning.concept.rows import Row, answer_states, batches, logits_of
from unlearning.concept.settings import Signal

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Traces:
    """Means over tokens, float64: neurons [layers, width], heads [layers, heads]."""

    saliency: FloatArray
    fisher: FloatArray
    activity: FloatArray
    """E|a|."""
    head_saliency: FloatArray
    head_fisher: FloatArray
    tokens: int


class _Sums:
    """Adds up what one kind of place sees: |a g|, g^2 and |a|, float64 [3, layers, places]."""

    def __init__(self, layers: int, places: int, device: torch.device) -> None:
        self.total = torch.zeros(3, layers, places, dtype=torch.float64, device=device)
        self.counted = torch.zeros(0, dtype=torch.long, device=device)

    def watch(self) -> Rewrite:
        """A rewrite that changes nothing and listens for the gradient."""

        def _listen(layer: int, entering: Tensor) -> Tensor:
            seen = entering if entering.requires_grad else entering.detach().requires_grad_()
            values = seen.detach()
            seen.register_hook(lambda gradient: self._add(layer, values, gradient))  # type: ignore[no-untyped-call]
            return seen

        return _listen

    def _add(self, layer: int, values: Tensor, gradient: Tensor) -> None:
        a, g = (part.flatten(0, 1).index_select(0, self.counted).float() for part in (values, gradient))
        blocks = (len(a), self.total.shape[2], -1)
        product, square, size = ((x.view(blocks)).sum(-1) for x in (a * g, g * g, a.abs()))
        for place, found in enumerate((product.abs(), square, size)):
            self.total[place, layer] += found.double().sum(0)


def trace(
    model: LanguageModel,
    rows: Sequence[Row],
    *,
    signal: Signal = Signal.LOSS,
    tokens: int = 4096,
    progress: Progress = quiet,
) -> Traces:
    """Read what rows leave at every place. What rows share (the chat head) is not counted."""
    shape = shape_of(model.model)
    neurons = _Sums(shape.layers, shape.width, model.device)
    heads = _Sums(shape.layers, shape.heads, model.device)
    count = done = 0
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(rewritten(down_projections(model.model), neurons.watch()))
        stack.enter_context(rewritten(output_projections(model.model), heads.watch()))
        for batch in batches(rows, model.device, tokens=tokens):
            neurons.counted = heads.counted = (batch.owner.flatten() >= 0).nonzero()[:, 0]
            logits = logits_of(model, answer_states(model, batch)).float()
            _SIGNALS[signal](logits, batch.targets).backward()  # type: ignore[no-untyped-call]
            count, done = count + len(neurons.counted), done + len(batch.rows)
            progress(done, len(rows))
    return _means(neurons.total / count, heads.total / count, count)


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p of every target, summed."""
    return cross_entropy(logits, targets, reduction="sum")


def summed_margin(logits: Tensor, targets: Tensor) -> Tensor:
    """log((1 - p)/p) of every target, summed: how far the rest together lies above it."""
    rest = logits.scatter(1, targets[:, None], -torch.inf).logsumexp(-1)
    return (rest - logits.gather(1, targets[:, None])[:, 0]).sum()


_SIGNALS = {Signal.LOSS: summed_loss, Signal.MARGIN: summed_margin}


def _means(neurons: Tensor, heads: Tensor, tokens: int) -> Traces:
    by_neuron, by_head = neurons.cpu().numpy(), heads.cpu().numpy()
    return Traces(by_neuron[0], by_neuron[1], by_neuron[2], by_head[0], by_head[1], tokens)


def weight_norms(model: LanguageModel) -> FloatArray:
    """Frobenius norm of everything a neuron is made of: its gate and up rows, its down column; [layers, width]."""
    norms = [_joint(layer.mlp, lambda weight: weight) for layer in model.model.get_decoder().layers]
    return torch.stack(norms).cpu().numpy()


def gradient_norms(model: LanguageModel, rows: Sequence[Row], *, tokens: int = 4096) -> FloatArray:
    """The same of the gradient of the rows' loss by those weights (SalUn's saliency, by neuron); [layers, width]."""
    layers = model.model.get_decoder().layers
    weights = [getattr(layer.mlp, name).weight for layer in layers for name in _PARTS]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        for batch in batches(rows, model.device, tokens=tokens):
            logits = logits_of(model, answer_states(model, batch)).float()
            cross_entropy(logits, batch.targets, reduction="sum").backward()  # type: ignore[no-untyped-call]
        return torch.stack([_joint(layer.mlp, lambda weight: weight.grad) for layer in layers]).cpu().numpy()
    finally:
        for weight in weights:
            weight.grad = None
            weight.requires_grad_(False)


_PARTS = ("gate_proj", "up_proj", "down_proj")


def _joint(mlp: Any, part: Callable[[Tensor], Tensor | None]) -> Tensor:
    """Norm over a neuron's rows of gate and up and its column of down, float64 [width]."""
    total = torch.zeros(mlp.down_proj.in_features, dtype=torch.float64, device=mlp.down_proj.weight.device)
    for axis, name in ((1, "gate_proj"), (1, "up_proj"), (0, "down_proj")):
        values = part(getattr(mlp, name).weight)
        total += 0 if values is None else values.detach().double().square().sum(axis)
    return total.sqrt()
