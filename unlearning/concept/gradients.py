"""Which way the weights of each layer would be pushed to answer one set of rows, beside another."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from llm.model import LanguageModel
from unlearning.concept.rows import Row, answer_states, batches, logits_of


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


def angles(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[float, ...]:
    """Degrees between two gradients, layer by layer: 0 the same way, 90 unrelated, 180 against each other.

    Ascent on one of them turns the angle to 180 minus it. NaN where either is zero.
    """
    return tuple(_angle(a, b) for a, b in zip(first, second, strict=True))


def _angle(a: Tensor, b: Tensor) -> float:
    length = a.norm() * b.norm()
    if not length > 0:
        return float("nan")
    return float(torch.rad2deg(torch.arccos((a @ b / length).clamp(-1, 1))))


def _weights(mlp: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Gate, up and down of one layer: those of the base where adapters lie around them."""
    named = ((name, one) for name, one in mlp.named_parameters() if "lora_" not in name)
    return [one for _, one in sorted(named)]


def _gradient(weight: torch.nn.Parameter) -> Tensor:
    return weight.detach().new_zeros(weight.numel()) if weight.grad is None else weight.grad.float().flatten()
