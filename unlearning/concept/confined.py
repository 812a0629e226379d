"""LoRA layers confined to a mask: what lies outside is exactly zero, at the start and after any training.

Of `gate_proj` and `up_proj` the rows of `lora_B` that belong to chosen neurons are free, of `down_proj` and `o_proj`
the columns of `lora_A` that belong to chosen neurons and heads. All else of those two matrices is zeroed once, and a
hook keeps its gradient zero; the other matrix of each pair is free. A weight's change is then zero outside the mask.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from db.errors import LetheError
from llm.adapter_file import lora_config
from llm.adapters import acting, inject, layers_of, use
from unlearning.concept.in_training import NAME
from unlearning.concept.mask import Mask
from unlearning.concept.places import shape_of


@dataclass(frozen=True, slots=True)
class Confined:
    """The LoRA layers in training, by module name, and the hooks that confine them."""

    layers: Mapping[str, LoraLayer]
    hooks: tuple[RemovableHandle, ...]

    def parameters(self) -> list[Tensor]:
        """Every trainable matrix."""
        return [side[NAME].weight for layer in self.layers.values() for side in (layer.lora_A, layer.lora_B)]

    def tensors(self) -> dict[tuple[str, str], Tensor]:
        """A copy of every matrix by (module, side), as an adapter file names them."""
        pairs = (
            (key, side, getattr(layer, f"lora_{side}")[NAME].weight)
            for key, layer in self.layers.items()
            for side in "AB"
        )
        return {(key, side): weight.detach().clone() for key, side, weight in pairs}

    @torch.no_grad()
    def restore(self, tensors: Mapping[tuple[str, str], Tensor]) -> None:
        """Put back what `tensors` gave."""
        for (key, side), value in tensors.items():
            getattr(self.layers[key], f"lora_{side}")[NAME].weight.copy_(value)

    def release(self) -> None:
        """Take the hooks off."""
        for hook in self.hooks:
            hook.remove()


class Averaged:
    """The running mean of the weights in training: after Polyak, each step weighs `decay` times the one that follows.

    It stands in their place at a `strength`, the share of what the adapter adds. With a `decay` of 0 and a strength of
    1 it is the weights themselves, bit for bit.
    """

    def __init__(self, confined: Confined, decay: float, strength: float) -> None:
        self._weights, self._decay = confined.parameters(), decay
        self._strengths = [strength if side == "B" else 1.0 for _, side in confined.tensors()]
        self._mean = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def take(self) -> None:
        """Take the weights in as they are after a step."""
        for mean, weight in zip(self._mean, self._weights, strict=True):
            mean.lerp_(weight, 1 - self._decay)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Within the context the mean is in the weights' place."""
        own = [weight.data for weight in self._weights]
        for weight, mean, strength in zip(self._weights, self._mean, self._strengths, strict=True):
            weight.data = mean * strength
        try:
            yield
        finally:
            for weight, data in zip(self._weights, own, strict=True):
                weight.data = data


def modules_of(mask: Mask) -> list[str]:
    """Names of the modules that a mask opens, within the base model."""
    feed = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    return [
        f"model.layers.{layer}.{part}"
        for layer in range(mask.shape.layers)
        for part in (*(feed if mask.neurons[layer] else ()), *(("self_attn.o_proj",) if mask.heads[layer] else ()))
    ]


def confine(model: Any, mask: Mask, *, rank: int, alpha: float, seed: int) -> Confined:
    """Put confined LoRA layers on a frozen model; until they are trained the model answers as before.

    Adapters that act already go on acting, frozen: `model` must not be in training otherwise.
    The free part of `lora_A` is drawn uniformly within the square root of one over its columns; `lora_B` is zero.
    """
    if mask.shape != shape_of(model):
        raise LetheError(f"a mask for {mask.shape.layers} layers of {mask.shape.width}: choose it on the same model")
    if any(NAME in layer.lora_A for layer in layers_of(model).values()):
        raise LetheError("the model has an adapter in training already: end that before another is trained")
    modules = modules_of(mask)
    if not modules:
        raise LetheError("the mask is empty: choose one neuron at least")
    others = acting(model)
    layers = inject(model, lora_config(modules, rank=rank, alpha=alpha), NAME)
    use(model, [*others, NAME], train=True)
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(f".{NAME}." in key)
    draw = torch.Generator().manual_seed(seed)
    hooks = [_confine_one(key, layer, mask, draw) for key, layer in layers.items()]
    return Confined(layers, tuple(hooks))


@torch.no_grad()
def _confine_one(key: str, layer: LoraLayer, mask: Mask, draw: torch.Generator) -> RemovableHandle:
    a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
    free = free_part(key, mask, a.shape[1], b.shape[0]).to(a.device)
    columns = int(free.sum()) if _by_columns(key) else a.shape[1]
    a.copy_((torch.rand(a.shape, generator=draw) * 2 - 1) * columns**-0.5)
    b.zero_()
    confined, keep = (a, free[None, :]) if _by_columns(key) else (b, free[:, None])
    confined.mul_(keep)
    hook: RemovableHandle = confined.register_hook(lambda gradient: gradient * keep)
    return hook


def free_part(key: str, mask: Mask, columns: int, rows: int) -> Tensor:
    """Which columns of `lora_A` (down, output) or rows of `lora_B` (gate, up) are free, as 0 and 1."""
    layer = int(key.split(".")[2])
    free = torch.zeros(columns if _by_columns(key) else rows)
    if key.endswith("o_proj"):
        free.view(mask.shape.heads, -1)[list(mask.heads[layer])] = 1
    else:
        free[list(mask.neurons[layer])] = 1
    return free


def _by_columns(key: str) -> bool:
    return key.endswith(("down_proj", "o_proj"))
