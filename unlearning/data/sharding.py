"""Forgetting by shards: one sub-model each, so that only those shards are trained again that held a forgotten row.

SISA (Bourtoule et al. 2021), RecEraser and GraphEraser (both Chen et al. 2022) are this with a partition and an
aggregator of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.errors import LetheError
from db.log import InteractionLog
from recsys.candidates import FloatArray, IntArray
from recsys.sharded import Aggregator, ShardedVectors, StaticWeights
from recsys.vectors import ItemVectors
from unlearning.data.base import Forgotten, Progress, quiet
from unlearning.data.difference import nothing_gone, rows_gone, same_rows
from unlearning.data.partition import Partition

Fit = Callable[[InteractionLog, int], ItemVectors]
"""Fits one sub-model on the rows of a shard with a seed."""

_SHARD, _PARTITION, _AGGREGATOR = range(3)
"""What a seed is spent on: no two parts of a model share their random numbers."""


EPOCHS = 0.6
"""Share of the whole model's epochs that a shard is trained for; chosen on validation rows of ml-100k, 10 shards."""


class Partitioned(ShardedVectors):
    """A sharded model that still knows which row is in which shard.

    What `save` writes and readers load is without the partition, as it is about people; that is kept apart, and a
    loaded model gets it back by `with_partition`.
    """

    partition: Partition | None = None

    def with_partition(self, partition: Partition) -> "Partitioned":
        """The same model with `partition`."""
        model = Partitioned(self.name, self.items, self.item_parts, self.fold_parts, self.aggregator)
        model.partition = self.checked(partition)
        return model

    def checked(self, partition: Partition) -> Partition:
        """`partition` itself. Raises LetheError where it has not as many shards as the model."""
        if partition.shards != self.shards:
            raise LetheError(f"the partition has {partition.shards} shards, the model {self.shards}: fit it again")
        return partition


@dataclass(frozen=True, slots=True)
class ShardMethod:
    """What tells one sharded method from another."""

    name: str
    partition: Callable[[InteractionLog, int], Partition]
    """From a log and a seed."""
    aggregate: Callable[[ShardedVectors, InteractionLog, int], Aggregator]
    """From the sub-models (under the mean of scores), all rows and a seed; the sub-models stay as they are."""
    partition_is_rule: bool
    """Whether no row has a say in the partition, so that keeping it keeps nothing of a forgotten row."""


class ShardedUnlearner:
    """A `BackboneUnlearner` of sub-models. The given model is left as it is.

    With a partition made from rows, the forgotten ones among them, the outcome is exact only where `rebuild_partition`
    has everything made again from the rows that stay; else it is exact given the partition, and says so in its facts.
    """

    def __init__(self, method: ShardMethod, fit: Fit, *, rebuild_partition: bool = False) -> None:
        self.name = method.name
        self._method = method
        self._fit = fit
        self._rebuild = rebuild_partition

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> Partitioned:
        """Partition the rows, fit every shard that has some, and learn the aggregator."""
        partition = self._method.partition(log, derived(seed, _PARTITION))
        return self.fit_within(log, partition, seed=seed, progress=progress)

    def fit_within(
        self, log: InteractionLog, partition: Partition, *, seed: int, progress: Progress = quiet
    ) -> Partitioned:
        """The same in a given partition. Raises LetheError where `log` has no rows or rows of no shard."""
        places = partition.shard_of(log)
        fitted = self._parts(log, places, np.unique(places).tolist(), seed=seed, progress=progress)
        if not fitted:
            raise LetheError("there are no interactions to train on: ingest some first")
        width = next(iter(fitted.values())).item_vectors.shape[1]
        empty = np.zeros((len(log.items), partition.shards, width), dtype=np.float32)
        return self._assembled(log, partition, (empty, empty), fitted, seed=seed)

    def forget(
        self,
        model: Partitioned,
        before: InteractionLog,
        after: InteractionLog,
        *,
        seed: int,
        progress: Progress = quiet,
    ) -> Forgotten[Partitioned]:
        """Fit the shards that lost a row again and learn the aggregator again, from the rows of `after`.

        A shard whose rows are all gone becomes 0. Raises LetheError where nothing is left at all, or where `model`
        came from disk without its partition.
        """
        gone = rows_gone(before, after)
        if gone == 0:
            return nothing_gone(model)
        if len(after) == 0:
            raise LetheError("no interactions are left to train on: destroy the model instead")
        if self._rebuild and not self._method.partition_is_rule:
            made = self.fit(after, seed=seed, progress=progress)
            return Forgotten(made, exact=True, facts=_facts(gone, int(made.live.sum()), made, "rebuilt"))
        partition = self._partition_of(model, before)
        touched = _touched(before, partition.shard_of(before), after, partition.within(after).shard_of(after))
        made = self.refit(model, after, touched, seed=seed, progress=progress)
        exact = self._method.partition_is_rule
        return Forgotten(made, exact=exact, facts=_facts(gone, len(touched), made, "rule" if exact else "kept"))

    def refit(
        self, model: Partitioned, log: InteractionLog, shards: Sequence[int], *, seed: int, progress: Progress = quiet
    ) -> Partitioned:
        """`model` with these shards fitted again on the rows that `log` has of them, and the aggregator learned again.

        The others stay bit for bit; one of these without rows becomes 0.
        """
        partition = self._partition_of(model, log).within(log)
        fitted = self._parts(log, partition.shard_of(log), shards, seed=seed, progress=progress)
        parts = (_without(model.item_parts, shards), _without(model.fold_parts, shards))
        return self._assembled(log, partition, parts, fitted, seed=seed)

    def _partition_of(self, model: Partitioned, before: InteractionLog) -> Partition:
        if self._method.partition_is_rule:
            return model.checked(self._method.partition(before, 0))
        if model.partition is not None:
            return model.partition
        raise LetheError(
            f"this {self.name} model was loaded without its partition: give it back by with_partition, "
            "or forget with a rebuilt partition"
        )

    def _parts(
        self, log: InteractionLog, places: IntArray, shards: Sequence[int], *, seed: int, progress: Progress
    ) -> dict[int, ItemVectors]:
        """Sub-models of those of the given shards that have rows."""
        fitted: dict[int, ItemVectors] = {}
        for done, shard in enumerate(shards, start=1):
            mine = places == shard
            if mine.any():
                rows = log.take(mine)
                fitted[shard] = _known(self._checked(self._fit(rows, derived(seed, _SHARD, shard)), log), rows)
            progress(done, len(shards))
        return fitted

    def _checked(self, part: ItemVectors, log: InteractionLog) -> ItemVectors:
        if not isinstance(part, ItemVectors):
            raise LetheError(
                f"{self.name} needs sub-models of item vectors, such as bpr and lightgcn, not {part.name}; "
                "ease forgets exactly by its downdate"
            )
        if part.items != log.items:
            raise ValueError("a sub-model must keep the item rows of the log it was fitted on")
        return part

    def _assembled(
        self,
        log: InteractionLog,
        partition: Partition,
        parts: tuple[FloatArray, FloatArray],
        fitted: dict[int, ItemVectors],
        *,
        seed: int,
    ) -> Partitioned:
        item_parts, fold_parts = parts[0].copy(), parts[1].copy()
        for shard, part in fitted.items():
            item_parts[:, shard], fold_parts[:, shard] = part.item_vectors, part.fold_vectors
        plain = Partitioned(self.name, log.items, item_parts, fold_parts, StaticWeights.mean(partition.shards))
        aggregator = self._method.aggregate(plain, log, derived(seed, _AGGREGATOR))
        return Partitioned(self.name, log.items, item_parts, fold_parts, aggregator).with_partition(partition)


def shard_settings(settings: Mapping[str, Any], shards: int) -> dict[str, Any]:
    """What the sub-model of one of `shards` shards is trained with, where a model of all rows has `settings`.

    An epoch of a shard has 1/shards of the steps, and a step of Adam goes about its rate far: with the rate of the
    whole model a shard would stop long before it has learned what its rows say. So the rate is multiplied by the number
    of shards; with it `EPOCHS` of the epochs suffice.
    """
    if shards == 1:
        return dict(settings)
    epochs = max(1, round(EPOCHS * settings["epochs"]))
    return {**settings, "epochs": epochs, "learning_rate": settings["learning_rate"] * shards}


def derived(seed: int, *what: int) -> int:
    """A seed for one part of a model, which differs for every seed and part."""
    return int(np.random.SeedSequence([seed, *what]).generate_state(1)[0])


def _known(part: ItemVectors, rows: InteractionLog) -> ItemVectors:
    """The sub-model without vectors of items that it has no row of: what is left there of its start is noise."""
    known = np.isin(np.arange(len(part.items)), rows.item)[:, None]
    return ItemVectors(part.name, part.items, part.item_vectors * known, part.fold_vectors * known)


def _touched(before: InteractionLog, old: IntArray, after: InteractionLog, new: IntArray) -> list[int]:
    """The shards whose rows differ."""
    shards = np.unique(old).tolist()
    return [shard for shard in shards if not same_rows(before.take(old == shard), after.take(new == shard))]


def _without(parts: FloatArray, shards: Sequence[int]) -> FloatArray:
    kept = parts.copy()
    kept[:, list(shards)] = 0.0
    return kept


def _facts(gone: int, touched: int, model: Partitioned, partition: str) -> dict[str, int | str]:
    facts: dict[str, int | str] = {
        "rows": gone,
        "shards": model.shards,
        "shards_retrained": touched,
        "partition": partition,
    }
    return facts | ({"exact_given": "the partition"} if partition == "kept" else {})
