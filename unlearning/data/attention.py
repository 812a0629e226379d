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


@dataclass(frozen=True, slots=True)
class AttentionFitter:
    """Learns the aggregator from people as they are served: folded in from their history in every shard.

    As in `WeightsFitter`, a pair's person is folded in without its item.
    """

    epochs: int = 10
    learning_rate: float = 1e-2
    batch: int = 2048
    regularisation: float = 1e-4
    """Of the squared length of the aggregated vectors in a batch, a person or item."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not self.learning_rate > 0:
            raise LetheError(f"{self} is not trainable: counts must be at least 1, the learning rate above 0")

    def fit(self, parts: ShardedVectors, log: InteractionLog, seed: int) -> Attention:
        """Trained on the rows of `log`; equal arguments give equal tensors on one machine and thread count."""
        users = torch.from_numpy(parts.user_parts(log.histories()))
        items, folds = (torch.from_numpy(np.ascontiguousarray(t)) for t in (parts.item_parts, parts.fold_parts))
        many = torch.from_numpy(items_met(log))[:, None, None]
        net = _Net(parts, seed)
        optimiser = torch.optim.Adam(net.parameters(), lr=self.learning_rate)
        for people, met, unmet in self._batches(log, seed):
            person = net.users(without(users[people], folds[met], many[people]))
            liked, other = net.items(items[met]), net.items(items[unmet])
            margin = (person * (liked - other)).sum(dim=1)
            size = sum((vectors**2).sum(dim=1).mean() for vectors in (person, liked, other))
            loss = functional.softplus(-margin).mean() + self.regularisation * size
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return net.aggregator()

    def _batches(self, log: InteractionLog, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for epoch in np.random.SeedSequence(seed).generate_state(self.epochs).tolist():
            triples = [torch.from_numpy(column) for column in drawn(log, len(log), epoch)]
            for start in range(0, len(triples[0]), self.batch):
                people, met, unmet = (column[start : start + self.batch] for column in triples)
                yield people, met, unmet


class _Net(nn.Module):
    """The aggregator with gradients. Its heads start at 0, where attention is the mean over live shards."""

    def __init__(self, parts: ShardedVectors, seed: int) -> None:
        super().__init__()
        width = parts.item_parts.shape[2]
        rng = np.random.default_rng(seed)
        self.live = torch.from_numpy(parts.live)
        self.transport = nn.Parameter(torch.from_numpy(rotations(parts)))
        self.shift = nn.Parameter(torch.zeros(parts.shards, width))
        self.user_attention = _Scorer(width, rng)
        self.item_attention = _Scorer(width, rng)

    def users(self, parts: Tensor) -> Tensor:
        """[n, d] from [n, shards, d]."""
        return self._mean(parts, self.user_attention)

    def items(self, parts: Tensor) -> Tensor:
        """[n, d] from [n, shards, d]."""
        return self._mean(parts, self.item_attention)

    def _mean(self, parts: Tensor, scorer: "_Scorer") -> Tensor:
        carried = torch.einsum("nkd,kde->nke", parts, self.transport) + self.shift
        shares = scorer(carried).masked_fill(~self.live, -torch.inf).softmax(dim=1)
        return torch.einsum("nk,nkd->nd", shares, carried)

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
        """One logit a shard, [n, shards]."""
        return (vectors @ self.layer + self.bias).relu() @ self.head


def rotations(parts: ShardedVectors) -> FloatArray:
    """For each shard the rotation of its items that comes nearest to those of the first live shard, [shards, d, d].

    Where the transport starts: sub-models are alike only up to a rotation, so that the mean over unturned vectors would
    say nothing. (Orthogonal Procrustes; the paper starts at random.)
    """
    first = parts.item_parts[:, int(np.flatnonzero(parts.live)[0])]
    turned = []
    for shard in range(parts.shards):
        left, _, right = np.linalg.svd(parts.item_parts[:, shard].T @ first)
        turned.append(left @ right)
    return np.stack(turned).astype(np.float32)


def _array(tensor: Tensor) -> FloatArray:
    return np.array(tensor.detach().numpy(), dtype=np.float32)
