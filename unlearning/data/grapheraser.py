"""GraphEraser (Chen et al. 2022): people in balanced clusters of the graph, scores mixed with learned weights."""

import numpy as np

from db.log import InteractionLog
from unlearning.data.balance import balanced_kmeans
from unlearning.data.partition import TablePartition, check_shards
from unlearning.data.sharding import Fit, ShardedUnlearner, ShardMethod
from unlearning.data.spectral import spectral_vectors
from unlearning.data.weights import WeightsFitter

DIMENSION = 16
"""Of the graph's singular vectors that are clustered."""


def grapheraser(
    fit: Fit, *, shards: int = 10, weights: WeightsFitter | None = None, rebuild_partition: bool = False
) -> ShardedUnlearner:
    """GraphEraser over `fit`, whose nodes are people: all rows of a person are in one shard.

    Its BEKM clusters people by the graph's singular vectors, where the paper has those of a graph network; its LBAggr
    learns one static weight a shard.
    """

    check_shards(shards)

    def partition(log: InteractionLog, seed: int) -> TablePartition:
        """People by BEKM."""
        vectors, _ = spectral_vectors(log, DIMENSION, seed=seed)
        present, person = np.unique(log.user, return_inverse=True)
        places = balanced_kmeans(vectors[present], shards, seed=seed)
        return TablePartition.of(log, places[person], shards, pairs=False)

    method = ShardMethod("grapheraser", partition, (weights or WeightsFitter()).fit, partition_is_rule=False)
    return ShardedUnlearner(method, fit, rebuild_partition=rebuild_partition)
