"""Which way the weights of each layer would be pushed to answer one set of rows, beside another."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from llm.model import LanguageModel
from unlearning.concept.rows import Row, answer_states, batches, logits_of

Floats = NDArray[np.float64]


def layer_gradients(model: LanguageModel, rows: Sequence[Row], *, tokens: int = 4096) -> tuple[Tensor, ...]:
    """Gradient of the rows' summed loss by all feed-forward weights of each layer, float32 and flat.

    Descent on these rows goes against it, ascent along it. The model is left as it was.
    """
    layers = [_weights(layer.mlp) for layer in model.model.get_decoder().layers]
    every = list(chain.from_iterable(layers))
    try:
        for weight in every:
            weight.requires_grad_(True)
        with torch.enable_grad():
            for batch in batches(rows, model.device, tokens=tokens):
                logits = logits_of(model, answer_states(model, batch)).float()
                cross_entropy(logits, batch.targets, reduction="sum").backward()  # type: ignore[no-untyped-call]
        return tuple(torch.cat([_gradient(weight) for weight in layer]) for layer in layers)
    finally:
        for weight in every:
            weight.grad = None
            weight.requires_grad_(False)


def gram(gradients: Sequence[Sequence[Tensor]]) -> Floats:
    """Inner products of gradients with each other, layer by layer, [layers, gradients, gradients]."""
    layers = []
    for own in zip(*gradients, strict=True):
        table = torch.stack(own)
        layers.append((table @ table.T).double().cpu().numpy())
    return np.stack(layers)


def angle(products: Floats, first: Floats, second: Floats) -> float:
    """Degrees between two weighted sums of gradients, from their inner products [gradients, gradients].

    0: the same way, 90: unrelated, 180: against each other. Ascent on one of them turns the angle to 180 minus it. NaN
    where either sum is zero.

    >>> angle(np.eye(2), np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    45.0
    """
    length = np.sqrt((first @ products @ first) * (second @ products @ second))
    if not length > 0:
        return float("nan")
    return round(float(np.rad2deg(np.arccos(np.clip(first @ products @ second / length, -1, 1)))), 9)


def _weights(mlp: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Gate, up and down of one layer: those of the base where adapters lie around them."""
    named = ((name, one) for name, one in mlp.named_parameters() if "lora_" not in name)
    return [one for _, one in sorted(named)]


def _gradient(weight: torch.nn.Parameter) -> Tensor:
    return weight.detach().new_zeros(weight.numel()) if weight.grad is None else weight.grad.float().flatten()
