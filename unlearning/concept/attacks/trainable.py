"""What a relearning attack may train, put on a model for a while and taken off again without a trace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from llm.adapter_file import lora_config
from llm.adapters import inject, layers_of, projections_of, remove, use

_NAME = "relearning"


class Way(StrEnum):
    """What is trained."""

    FRESH = "fresh"
    """A new LoRA on every projection, over the model as it is with the forgetting in it."""
    CONTINUED = "continued"
    """The adapters that forget, freed of their mask; a forgetting without adapters has no such attack."""


@contextmanager
def trainable(model: Any, way: Way, *, rank: int, alpha: float, seed: int) -> Iterator[list[Tensor]]:
    """What the way trains; afterwards it is gone, or as before."""
    if way is Way.CONTINUED:
        with _continued(model) as weights:
            yield weights
        return
    acting = _acting(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = lora_config(projections_of(model), rank=rank, alpha=alpha)
        inject(model, config, _NAME)
    try:
        use(model, [*acting, _NAME], train=True)
        yield _freed(model, [_NAME])
    finally:
        remove(model, _NAME)
        _freed(model, [])


@contextmanager
def _continued(model: Any) -> Iterator[list[Tensor]]:
    weights = _freed(model, _acting(model))
    before = [weight.detach().clone() for weight in weights]
    try:
        yield weights
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
        _freed(model, [])


def _acting(model: Any) -> list[str]:
    return sorted({name for layer in layers_of(model).values() for name in layer.active_adapters})


def _freed(model: Any, names: Sequence[str]) -> list[Tensor]:
    """Let these adapters' matrices, and those of no other, be trained."""
    free = []
    for layer in layers_of(model).values():
        for side in (layer.lora_A, layer.lora_B):
            for name, part in side.items():
                part.weight.requires_grad_(name in names)
                free += [part.weight] if name in names else []
    return free
