"""RecEraser (Chen et al. 2022): interactions in balanced clusters, sub-models aggregated by attention."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from db.log import InteractionLog
from recsys.sharded import Aggregator, ShardedVectors
from unlearning.data.balance import balanced_interactions
from unlearning.data.partition import TablePartition, check_shards
from unlearning.data.sharding import Fit, ShardedUnlearner, ShardMethod
from unlearning.data.spectral import spectral_vectors

Floats = NDArray[np.float64]
Pretrain = Callable[[InteractionLog, int], tuple[Floats, Floats]]
"""Vectors of people [users, d] and items [items, d] from a log and a seed."""
Aggregate = Callable[[ShardedVectors, InteractionLog, int], Aggregator]
"""Learns an aggregator on frozen sub-models from a log and a seed."""

DIMENSION = 16
"""Of the pre-trained vectors, where they are the graph's singular vectors."""


def receraser(
    fit: Fit,
    *,
    shards: int = 10,
    pretrain: Pretrain | None = None,
    aggregate: Aggregate | None = None,
    rebuild_partition: bool = False,
) -> ShardedUnlearner:
    """RecEraser over `fit`: its interaction-based partition (InBP), in which a person's rows are in several shards.

    The partition is clustered from the vectors of `pretrain` (by default singular vectors of the graph; the paper has
    those of WMF), and the aggregator is learned by `aggregate` (by default `AttentionFitter`, with torch).
    """

    check_shards(shards)

    def partition(log: InteractionLog, seed: int) -> TablePartition:
        """Distinct (person, item) pairs by InBP."""
        users, items = pretrain(log, seed) if pretrain else spectral_vectors(log, DIMENSION, seed=seed)
        pair = log.user * len(log.items) + log.item
        _, first, of_row = np.unique(pair, return_index=True, return_inverse=True)
        people, things = users[log.user[first]], items[log.item[first]]
        places = balanced_interactions(people, things, clusters=shards, seed=seed)
        return TablePartition.of(log, places[of_row], shards, pairs=True)

    method = ShardMethod("receraser", partition, aggregate or _attention, partition_is_rule=False)
    return ShardedUnlearner(method, fit, rebuild_partition=rebuild_partition)


def _attention(parts: ShardedVectors, log: InteractionLog, seed: int) -> Aggregator:
    from unlearning.data.attention import AttentionFitter  # with torch

    return AttentionFitter().fit(parts, log, seed)
