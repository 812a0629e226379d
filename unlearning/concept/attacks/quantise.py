"""Rounding of the weights: a small change of the weights that forgot must not be rounded away.

Simulated round-to-nearest of every projection in the decoder layers: 8 bits with one scale a row, 4 bits with a scale
and an offset for each 64 columns of a row. Embeddings, norms and the output matrix stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm.adapters import layers_of, using
from llm.model import LanguageModel
from unlearning.concept.attacks.outcome import Outcome, ask_all
from unlearning.concept.base import Forgetting, Probe

GROUP = 64


def eight_bits(weight: Tensor) -> Tensor:
    """Symmetric, one scale a row; the largest error is half a step, 1/254 of the row's largest entry."""
    scale = weight.abs().amax(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / 127
    return (weight / scale).round() * scale


def four_bits(weight: Tensor) -> Tensor:
    """Sixteen levels from the least to the largest entry of each `GROUP` columns of a row."""
    return torch.cat([_sixteen(weight[:, start : start + GROUP]) for start in range(0, weight.shape[1], GROUP)], dim=1)


def _sixteen(part: Tensor) -> Tensor:
    least, most = part.amin(1, keepdim=True), part.amax(1, keepdim=True)
    step = ((most - least) / 15).clamp(min=torch.finfo(part.dtype).tiny)
    return ((part - least) / step).round() * step + least


BITS = {8: eight_bits, 4: four_bits}


@contextmanager
def quantised(model: Any, bits: int, *, merged: bool) -> Iterator[None]:
    """Within the context weights are rounded; after it the old ones are back, bit for bit.

    `merged`: adapters that act are added to the weights before rounding; otherwise they act, unrounded, beside rounded
    weights.
    """
    acting = {name: list(layer.active_adapters) for name, layer in layers_of(model).items()} if merged else {}
    with ExitStack() as stack, torch.no_grad():
        if merged:
            stack.enter_context(using(model, []))
        for name, module in _linear(model):
            stack.callback(setattr, module.weight, "data", module.weight.data)
            weight = _merged(module, acting.get(name, ()))
            module.weight.data = BITS[bits](weight).to(module.weight.dtype)
        yield


def _linear(model: Any) -> list[tuple[str, Any]]:
    """Every projection of the decoder layers: a linear module, or the LoRA layer around it."""
    adapted = layers_of(model)
    plain = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".layers." in name and ".base_layer" not in name and ".lora_" not in name
    ]
    return [*plain, *adapted.items()]


def _merged(module: Any, adapters: Sequence[str]) -> Tensor:
    """The weight with these adapters in it, float32."""
    weight: Tensor = module.weight.data.float()
    for name in adapters:
        if name in module.lora_A:
            weight = weight + module.get_delta_weight(name).float()
    return weight


def quantisation(model: LanguageModel, forgetting: Forgetting, probes: Sequence[Probe]) -> tuple[Outcome, ...]:
    """The probes at 8 and at 4 bits, adapters merged and beside. Without adapters both are the same."""
    found = []
    with forgetting.applied(model) as changed:
        for bits in BITS:
            for merged in (True, False):
                with quantised(changed.model, bits, merged=merged):
                    variant = f"{bits} bits, {'merged' if merged else 'beside'}"
                    found.append(ask_all(changed, probes, "quantised", variant))
    return tuple(found)
