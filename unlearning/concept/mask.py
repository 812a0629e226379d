"""Which parts of a model a method may touch: feed-forward neurons and attention heads, layer by layer.

Neuron j of a layer is coordinate j of the input of its `down_proj`; head h is the h-th block of columns of its
`o_proj`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import LetheError

Places = tuple[tuple[int, ...], ...]
"""For each layer the chosen numbers, ascending."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many neurons and heads there are to choose from, in each of `layers` layers."""

    layers: int
    width: int
    heads: int


@dataclass(frozen=True, slots=True)
class Mask:
    """Chosen neurons and heads of a model of one shape."""

    shape: Shape
    neurons: Places
    heads: Places
    origin: str
    """How they were chosen: A name of `MaskName`; `none` is no restriction."""

    def __post_init__(self) -> None:
        for name, places, size in (
            ("neurons", self.neurons, self.shape.width),
            ("heads", self.heads, self.shape.heads),
        ):
            if len(places) != self.shape.layers:
                raise LetheError(
                    f"{name} for {len(places)} layers, the model has {self.shape.layers}: mask the same model"
                )
            for layer in places:
                if list(layer) != sorted(set(layer)) or (layer and not 0 <= layer[0] <= layer[-1] < size):
                    raise LetheError(f"{name} {layer[:5]}: give ascending numbers from 0 to {size - 1}")

    @property
    def size(self) -> int:
        """How many neurons are chosen."""
        return sum(map(len, self.neurons))

    @property
    def digest(self) -> str:
        """sha256 of what is chosen, whatever the origin."""
        return hashlib.sha256(json.dumps([self.neurons, self.heads]).encode()).hexdigest()

    def jaccard(self, other: "Mask") -> float:
        """Neurons in both over neurons in either; 1 for two empty masks.

        >>> shape = Shape(layers=1, width=4, heads=0)
        >>> a, b = (Mask(shape, (chosen,), ((),), "random") for chosen in ((0, 1), (1, 2)))
        >>> round(a.jaccard(b), 3)
        0.333
        """
        mine, theirs = (
            {(layer, j) for layer, chosen in enumerate(mask.neurons) for j in chosen} for mask in (self, other)
        )
        return len(mine & theirs) / len(mine | theirs) if mine or theirs else 1.0


def whole(shape: Shape) -> Mask:
    """Every neuron and no head: a plain LoRA of the feed-forward parts."""
    every = tuple(range(shape.width))
    return Mask(shape, (every,) * shape.layers, ((),) * shape.layers, "none")


def from_pairs(shape: Shape, chosen: Sequence[tuple[int, int]], origin: str) -> Mask:
    """The mask of the neurons given as (layer, number), without heads."""
    return Mask(shape, by_layer(chosen, shape.layers), ((),) * shape.layers, origin)


def by_layer(chosen: Sequence[tuple[int, int]], layers: int) -> Places:
    """What is given as (layer, number), layer by layer, ascending."""
    return tuple(tuple(sorted(number for at, number in chosen if at == layer)) for layer in range(layers))
