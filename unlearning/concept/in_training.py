"""How the adapter in training acts within a context: in lower layers alone, weaker, or missing some of its input."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from llm.adapters import layers_of

NAME = "learning"
"""The adapter in training."""


@contextmanager
def up_to(model: Any, layer: int) -> Iterator[None]:
    """Within the context the adapter in training acts in the decoder layers up to this one (from 0) and in no other."""
    with _at_strength([one for key, one in _learning(model).items() if int(key.split(".")[2]) > layer], 0.0):
        yield


@contextmanager
def at_strength(model: Any, share: float) -> Iterator[None]:
    """Within the context the adapter in training adds this share of what it adds."""
    with _at_strength(_learning(model).values(), share):
        yield


@contextmanager
def dropping(model: Any, where: Tensor, share: float, seed: Sequence[int]) -> Iterator[None]:
    """Within the context the adapter in training misses this share of what it reads at some tokens, and the rest counts
    for more (inverted dropout); `where` is bool [sequences, tokens]. What is missed follows from the seed.

    With a share of 0 nothing is drawn and nothing changes.
    """
    if not share:
        yield
        return
    number = int(np.random.default_rng(seed).integers(2**63))
    dropout = _Dropout(where, share, torch.Generator(where.device).manual_seed(number))
    layers = list(_learning(model).values())
    before = [layer.lora_dropout[NAME] for layer in layers]
    for layer in layers:
        layer.lora_dropout[NAME] = dropout
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.lora_dropout[NAME] = own


class _Dropout(nn.Module):
    """Inverted dropout at some tokens alone."""

    def __init__(self, where: Tensor, share: float, draw: torch.Generator) -> None:
        super().__init__()
        self._where, self._share, self._draw = where, share, draw

    def forward(self, given: Tensor) -> Tensor:
        """Of what a layer reads, [sequences, tokens, features]."""
        kept = torch.ones_like(given)
        drawn = torch.rand(
            int(self._where.sum()), given.shape[-1], generator=self._draw, device=given.device, dtype=torch.float32
        )
        kept[self._where] = ((drawn >= self._share) / (1 - self._share)).to(given.dtype)
        return given * kept


def _learning(model: Any) -> dict[str, LoraLayer]:
    return {key: layer for key, layer in layers_of(model).items() if NAME in layer.scaling}


@contextmanager
def _at_strength(layers: Iterable[LoraLayer], share: float) -> Iterator[None]:
    scales = [(layer, layer.scaling[NAME]) for layer in layers]
    for layer, scale in scales:
        layer.scaling[NAME] = share * scale
    try:
        yield
    finally:
        for layer, scale in scales:
            layer.scaling[NAME] = scale
