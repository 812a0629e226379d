"""SISA (Bourtoule et al. 2021): people in hashed shards, the mean of the shards' scores. Exact."""

from recsys.sharded import StaticWeights
from unlearning.data.partition import HashPartition
from unlearning.data.sharding import Fit, ShardedUnlearner, ShardMethod


def sisa(fit: Fit, *, shards: int = 10, salt: str = "") -> ShardedUnlearner:
    """SISA over `fit`, with whole people in `shards` shards by a hash of their outside id keyed with `salt`.

    The shard of a person depends on nobody's rows and there is nothing to learn in a mean, so that the model after
    forgetting is one of SISA fitted on the rows that stay. One slice a shard: within a shard everything is trained
    again.
    """
    rule = HashPartition(shards, salt)
    method = ShardMethod(
        "sisa",
        partition=lambda log, seed: rule,
        aggregate=lambda parts, log, seed: StaticWeights.mean(shards),
        partition_is_rule=True,
    )
    return ShardedUnlearner(method, fit)
