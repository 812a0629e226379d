"""Sub-models of one catalogue, one a shard, served as one backbone by an aggregator. No user row is held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from db.errors import LetheError
from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.ids import ItemRows
from recsys.topk import candidates_from
from recsys.vectors import ItemVectors

FILE = "item.safetensors"


class Aggregator(Protocol):
    """Makes one vector of the vectors that the shards have of a person or an item, shape [n, shards, d]."""

    kind: ClassVar[str]

    def users(self, parts: FloatArray) -> FloatArray:
        """One vector a person, shape [n, D]."""
        ...

    def items(self, parts: FloatArray) -> FloatArray:
        """One vector an item, shape [n, D]: its inner product with a person's vector is the score."""
        ...

    def tensors(self) -> Mapping[str, NDArray[np.generic]]:
        """What is stored of it, by field."""
        ...


@dataclass(frozen=True, slots=True)
class StaticWeights:
    """The score is the shards' scores mixed with `weights` [shards], float32, at least 0.

    A mixture of inner products is the inner product of the vectors laid end to end, so that D is shards x d.
    """

    kind: ClassVar[str] = "weights"
    weights: FloatArray

    def __post_init__(self) -> None:
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError(f"weights of shards must be finite and at least 0, not {self.weights}")

    @classmethod
    def mean(cls, shards: int) -> Self:
        """The mean of scores over all shards; one without rows scores 0, so that the others keep their weight."""
        return cls(np.full(shards, 1.0 / shards, dtype=np.float32))

    def users(self, parts: FloatArray) -> FloatArray:
        """The vectors end to end, shape [n, shards x d]."""
        return _joined(parts)

    def items(self, parts: FloatArray) -> FloatArray:
        """The weighted vectors end to end, shape [n, shards x d]."""
        return _joined(parts * self.weights[:, None])

    def tensors(self) -> Mapping[str, NDArray[np.generic]]:
        """The weights."""
        return {"weights": self.weights}


@dataclass(frozen=True, slots=True)
class Attention:
    """Each shard's vectors are carried into one space, then meant with attention (Chen et al. 2022, eq. 8 to 12).

    `transport` [shards, d, d] and `shift` [shards, d] serve people and items alike; `user_layer`, `item_layer` [d, a],
    `user_bias`, `item_bias` [a] and `user_head`, `item_head` [a] give the attention h·relu(Wx + b), whose softmax runs
    over the `live` shards [shards] (bool). D is d.
    """

    kind: ClassVar[str] = "attention"
    transport: FloatArray
    shift: FloatArray
    user_layer: FloatArray
    user_bias: FloatArray
    user_head: FloatArray
    item_layer: FloatArray
    item_bias: FloatArray
    item_head: FloatArray
    live: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not self.live.any():
            raise ValueError("attention over shards none of which has rows")
        if not all(np.isfinite(tensor).all() for tensor in self.tensors().values()):
            raise LetheError("the aggregator's weights are not finite: train it with a smaller learning rate")

    def users(self, parts: FloatArray) -> FloatArray:
        """Shape [n, d]."""
        return self._mean(parts, self.user_layer, self.user_bias, self.user_head)

    def items(self, parts: FloatArray) -> FloatArray:
        """Shape [n, d]."""
        return self._mean(parts, self.item_layer, self.item_bias, self.item_head)

    def tensors(self) -> Mapping[str, NDArray[np.generic]]:
        """All fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def _mean(self, parts: FloatArray, layer: FloatArray, bias: FloatArray, head: FloatArray) -> FloatArray:
        carried = np.matmul(parts.swapaxes(0, 1), self.transport).swapaxes(0, 1) + self.shift
        logits = np.maximum(carried @ layer + bias, 0) @ head
        logits = np.where(self.live, logits, -np.inf)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        shares = powers / powers.sum(axis=1, keepdims=True)
        mean: FloatArray = np.einsum("nk,nkd->nd", shares, carried)
        return mean


_AGGREGATORS: dict[str, type[StaticWeights] | type[Attention]] = {a.kind: a for a in (StaticWeights, Attention)}


class ShardedVectors:
    """A `VectorBackbone` of K sub-models, one a shard, as `item_parts` and `fold_parts` [items, K, d].

    The parts are kept as they were fitted, beside the aggregator, so that one shard can be replaced and all others stay
    bit for bit. The part of a shard without rows is 0.
    """

    def __init__(
        self,
        name: str,
        items: tuple[ItemId, ...],
        item_parts: FloatArray,
        fold_parts: FloatArray,
        aggregator: Aggregator,
    ) -> None:
        if item_parts.ndim != 3 or item_parts.shape != fold_parts.shape:
            raise ValueError(
                f"parts must be two tensors [items, shards, d], not {item_parts.shape}, {fold_parts.shape}"
            )
        self._folds = ItemVectors(name, items, _joined(item_parts), _joined(fold_parts))
        self.name = name
        self.items = items
        self.item_parts = item_parts
        self.fold_parts = fold_parts
        self.aggregator = aggregator
        self.item_vectors = np.ascontiguousarray(aggregator.items(item_parts), dtype=np.float32)

    @property
    def shards(self) -> int:
        """How many shards there are, those without rows counted."""
        return int(self.item_parts.shape[1])

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which shards have a sub-model, shape [shards]."""
        return np.asarray(np.abs(self.item_parts).max(axis=(0, 2), initial=0.0) > 0)

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed, data epoch and the fitter's settings."""
        return {
            "backbone": self.name,
            "dimension": self.item_parts.shape[2],
            "shards": self.shards,
            "aggregator": self.aggregator.kind,
        }

    @classmethod
    def of(cls, name: str, items: tuple[ItemId, ...], parts: Mapping[int, ItemVectors], shards: int) -> Self:
        """Sub-models by shard, one at least, under the mean of scores; shards that are not named are 0."""
        width = next(iter(parts.values())).item_vectors.shape[1]
        item_parts = np.zeros((len(items), shards, width), dtype=np.float32)
        fold_parts = np.zeros_like(item_parts)
        for shard, part in parts.items():
            item_parts[:, shard], fold_parts[:, shard] = part.item_vectors, part.fold_vectors
        return cls(name, items, item_parts, fold_parts, StaticWeights.mean(shards))

    def part(self, shard: int) -> ItemVectors:
        """The sub-model of one shard."""
        return ItemVectors(self.name, self.items, self.item_parts[:, shard], self.fold_parts[:, shard])

    def user_parts(self, histories: Sequence[IntArray]) -> FloatArray:
        """Each history folded into every shard, shape [people, shards, d]; zeros for no history."""
        return self._folds.user_vectors(histories).reshape(len(histories), *self.item_parts.shape[1:])

    def user_vectors(self, histories: Sequence[IntArray]) -> FloatArray:
        """The aggregated fold-in, shape [people, D]; a row of zeros for no history."""
        vectors = np.array(self.aggregator.users(self.user_parts(histories)), dtype=np.float32)
        vectors[[len(history) == 0 for history in histories]] = 0.0
        return vectors

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        """Inner products of user and item vectors, shape [people, items]."""
        return self.user_vectors(histories) @ self.item_vectors.T

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The k best items outside each `exclude`; an empty history yields an empty list."""
        return candidates_from(self.scores, histories, exclude, k)

    def save(self, folder: Path) -> None:
        """Write the parts, the aggregator and the ids to an existing, empty folder."""
        parts = {"item_parts": self.item_parts, "fold_parts": self.fold_parts}
        tensors = {**parts, **{f"aggregator.{key}": tensor for key, tensor in self.aggregator.tensors().items()}}
        facts = {"name": self.name, "aggregator": self.aggregator.kind}
        save_file({key: np.ascontiguousarray(tensor) for key, tensor in tensors.items()}, folder / FILE, facts)
        ItemRows(self.items).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        with safe_open(folder / FILE, framework="numpy") as stored:
            facts = stored.metadata()
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        item_parts, fold_parts = tensors.pop("item_parts"), tensors.pop("fold_parts")
        fields = {key.removeprefix("aggregator."): tensor for key, tensor in tensors.items()}
        aggregator = _AGGREGATORS[facts["aggregator"]](**fields)
        return cls(str(facts["name"]), ItemRows.load(folder).ids, item_parts, fold_parts, aggregator)


def load_vectors(folder: Path) -> ItemVectors | ShardedVectors:
    """What one model of item vectors, or one in shards, has saved."""
    with safe_open(folder / FILE, framework="numpy") as stored:
        sharded = "aggregator" in stored.metadata()
    return ShardedVectors.load(folder) if sharded else ItemVectors.load(folder)


def _joined(parts: FloatArray) -> FloatArray:
    return parts.reshape(len(parts), parts.shape[1] * parts.shape[2])
