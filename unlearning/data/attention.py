"""RecEraser's aggregator, trained by BPR on frozen sub-models: transport into one space, attention over shards."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from db.errors import LetheError
from db.log import InteractionLog
from recsys.candidates import FloatArray
from recsys.sharded import Attention, ShardedVectors
from unlearning.data.weights import drawn, items_met, without

ROUNDS = 4
"""Of turning all shards to their mean."""


@dataclass(frozen=True, slots=True)
class AttentionFitter:
    """Learns the aggregator from people as they are served: folded in from their history in every shard.

    As in `WeightsFitter`, a pair's person is folded in without its item. A few steps suffice, since transport starts
    where the shards agree; more cost as much as the shards and rank no better, because what is learned from are
    the rows that the sub-models were trained on.
    """

    steps: int = 50
    learning_rate: float = 1e-2
    batch: int = 512
    regularisation: float = 1e-4
    """Of the squared length of the aggregated vectors in a batch, a person or item."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or not self.learning_rate > 0:
            raise LetheError(f"{self} is not trainable: counts must be at least 1, the learning rate above 0")

    def fit(self, parts: ShardedVectors, log: InteractionLog, seed: int) -> Attention:
        """Trained on the rows of `log`; equal arguments give equal tensors on one machine and thread count."""
        people = parts.user_parts(log.histories())
        net = _Net(parts, people, seed)
        table = _Table(parts, people, log)
        optimiser = torch.optim.Adam(net.parameters(), lr=self.learning_rate)
        for step, triples in enumerate(self._batches(log, seed)):
            if step == 0:
                net.scale(*table.of(*triples))
            person, liked, other = net(*table.of(*triples))
            margin = (person * (liked - other)).sum(dim=1)
            size = sum((vectors**2).sum(dim=1).mean() for vectors in (person, liked, other))
            loss = functional.softplus(-margin).mean() + self.regularisation * size
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return net.aggregator()

    def _batches(self, log: InteractionLog, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Triples of `drawn` in its order, which begins anew with another seed where the pairs run out."""
        left = self.steps
        for epoch in np.random.SeedSequence(seed).generate_state(self.steps).tolist():
            triples = [torch.from_numpy(column) for column in drawn(log, self.batch * left, epoch)]
            for start in range(0, len(triples[0]) if left else 0, self.batch):
                people, met, unmet = (column[start : start + self.batch] for column in triples)
                yield people, met, unmet
                left -= 1


class _Table:
    """What the sub-models say of people and items, shards first, [shards, n, d]: so products need no copies."""

    def __init__(self, parts: ShardedVectors, people: FloatArray, log: InteractionLog) -> None:
        self._people, self._items, self._folds = map(_shards_first, (people, parts.item_parts, parts.fold_parts))
        self._many = torch.from_numpy(items_met(log))

    def of(self, people: Tensor, met: Tensor, unmet: Tensor) -> tuple[Tensor, Tensor]:
        """The people of triples without their item, [shards, n, d]; items met, then not met, [shards, 2n, d]."""
        theirs = without(self._people[:, people], self._folds[:, met], self._many[people][None, :, None])
        return theirs, self._items[:, torch.cat([met, unmet])]


class _Net(nn.Module):
    """The aggregator with gradients. Its heads start at 0, where attention is the mean over live shards."""

    def __init__(self, parts: ShardedVectors, people: FloatArray, seed: int) -> None:
        super().__init__()
        width = parts.item_parts.shape[2]
        rng = np.random.default_rng(seed)
        self.live = torch.from_numpy(parts.live)
        self.transport = nn.Parameter(torch.from_numpy(rotations(parts, people)))
        self.shift = nn.Parameter(torch.zeros(parts.shards, width))
        self.user_attention = _Scorer(width, rng)
        self.item_attention = _Scorer(width, rng)

    def forward(self, people: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of the people, of their items met and of those not met, each [n, d]."""
        liked, other = self.items(items).chunk(2)
        return self.users(people), liked, other

    def scale(self, people: Tensor, items: Tensor) -> None:
        """Stretch the transport until the margins of these triples are 1 in the root mean square."""
        with torch.no_grad():
            person, liked, other = self(people, items)
            size = (person * (liked - other)).sum(dim=1).square().mean().sqrt()
            self.transport.div_(size.clamp(min=1e-6).sqrt())

    def users(self, parts: Tensor) -> Tensor:
        """[n, d] from [shards, n, d]."""
        return self._mean(parts, self.user_attention)

    def items(self, parts: Tensor) -> Tensor:
        """[n, d] from [shards, n, d]."""
        return self._mean(parts, self.item_attention)

    def _mean(self, parts: Tensor, scorer: "_Scorer") -> Tensor:
        carried = torch.baddbmm(self.shift[:, None], parts, self.transport)
        shares = scorer(carried).masked_fill(~self.live[:, None], -torch.inf).softmax(dim=0)
        mean: Tensor = (shares[:, :, None] * carried).sum(dim=0)
        return mean

    def aggregator(self) -> Attention:
        """What was learned, as arrays."""
        user, item = self.user_attention, self.item_attention
        return Attention(
            transport=_array(self.transport),
            shift=_array(self.shift),
            user_layer=_array(user.layer),
            user_bias=_array(user.bias),
            user_head=_array(user.head),
            item_layer=_array(item.layer),
            item_bias=_array(item.bias),
            item_head=_array(item.head),
            live=self.live.numpy(),
        )


class _Scorer(nn.Module):
    """h·relu(Wx + b) with half as many hidden units as dimensions."""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        super().__init__()
        hidden = max(1, width // 2)
        start = rng.normal(scale=np.sqrt(2.0 / (width + hidden)), size=(width, hidden)).astype(np.float32)
        self.layer = nn.Parameter(torch.from_numpy(start))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.head = nn.Parameter(torch.zeros(hidden))

    def forward(self, vectors: Tensor) -> Tensor:
        """One logit a shard, [shards, n]."""
        return (vectors @ self.layer + self.bias).relu() @ self.head


def rotations(parts: ShardedVectors, people: FloatArray) -> FloatArray:
    """For each shard the rotation of its people and items that comes nearest to the mean of all, [shards, d, d].

    Where the transport starts: sub-models are alike only up to a rotation, so that the mean over unturned vectors would
    say nothing. (Orthogonal Procrustes, repeated from the first live shard on; the paper starts at random.) Of `people`
    [people, shards, d] there is more to compare than of items, where each shard was shown items of its own.
    """
    both = np.concatenate([side / max(float(np.linalg.norm(side)), 1e-12) for side in (parts.item_parts, people)])
    centre = both[:, int(np.flatnonzero(parts.live)[0])]
    for _ in range(ROUNDS):
        turned = np.stack([_rotation(both[:, shard], centre) for shard in range(parts.shards)])
        centre = np.einsum("nkd,kde->ne", both, turned)
    return turned.astype(np.float32)


def _rotation(one: FloatArray, other: FloatArray) -> FloatArray:
    left, _, right = np.linalg.svd(one.T @ other)
    return np.asarray(left @ right)


def _shards_first(parts: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(parts.swapaxes(0, 1)))


def _array(tensor: Tensor) -> FloatArray:
    return np.array(tensor.detach().numpy(), dtype=np.float32)
