"""GraphEraser: balanced clusters of people, learned static weights."""

import numpy as np
import pytest

from recsys.sharded import ShardedVectors, StaticWeights
from tests.contracts.unlearner import ExactContract, UnlearnerContract, before, quick_fit
from tests.recsys.toy import camps, log_of
from tests.unlearning.sharded_world import TableCases
from unlearning.data.grapheraser import grapheraser
from unlearning.data.sharding import derived
from unlearning.data.weights import WeightsFitter, drawn, items_met, without


class TestGraphEraser(TableCases, UnlearnerContract):
    name = "grapheraser"
    exact = False
    shards = 4

    def build(self, fit, shards=shards, **settings):
        return grapheraser(fit, shards=shards, **settings)

    def learned(self, model, log, *, seed):
        return WeightsFitter().fit(model, log, derived(seed, 2))


class TestRebuilt(ExactContract):
    name = "grapheraser"

    def unlearner(self, fit):
        return grapheraser(fit, shards=4, rebuild_partition=True)


def test_people_of_one_camp_share_a_shard():
    log = camps(60, 40, 12)
    model = grapheraser(quick_fit, shards=2).fit(log, seed=3)
    places = np.zeros(60, dtype=int)
    places[log.user] = model.partition.shard_of(log)
    even = places[::2].mean()
    assert abs(even - places[1::2].mean()) > 0.8
    assert np.bincount(places).tolist() == [30, 30]


def test_all_rows_of_a_person_are_in_one_shard_and_shards_are_of_equal_size():
    log = before()
    places = grapheraser(quick_fit, shards=5).fit(log, seed=1).partition.shard_of(log)
    of_person = [set(places[log.user == person].tolist()) for person in range(36)]
    assert all(len(found) == 1 for found in of_person)
    assert np.bincount([found.pop() for found in of_person], minlength=5).max() <= 8


def toy_parts(strength, seed=0, people=30, items=12, shards=3):
    """Sub-models of equal length of which number k knows taste as well as `strength[k]` (0 to 1) says."""
    rng = np.random.default_rng(seed)
    log = camps(people, items, 4, seed=seed)
    taste = np.where(np.arange(items) % 2, 1.0, -1.0)[:, None] * np.ones((items, 2))
    parts = np.stack([s * taste + np.sqrt(1 - s * s) * rng.normal(size=(items, 2)) for s in strength], axis=1)
    parts = parts.astype(np.float32)
    return ShardedVectors("toy", log.items, parts, parts, StaticWeights.mean(shards)), log


def test_weights_are_at_least_zero_sum_to_one_and_a_dead_shard_has_none():
    parts, log = toy_parts([0.9, 0.0, 0.9])
    dead = parts.item_parts.copy(), parts.fold_parts.copy()
    for tensor in dead:
        tensor[:, 2] = 0.0
    model = ShardedVectors("toy", log.items, *dead, StaticWeights.mean(3))
    weights = WeightsFitter(penalty=0.01).fit(model, log, 1).weights
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert weights[2] == 0.0
    assert weights[0] > 2 * weights[1]
    assert (weights >= 0).all()


def test_the_weights_are_the_minimum_over_the_simplex():
    """Against a grid over all weights of three shards and all factors; the penalty keeps the minimum inside."""
    parts, log = toy_parts([0.6, 0.1, 0.4], seed=1)
    fitter = WeightsFitter(penalty=0.2)
    weights = fitter.fit(parts, log, 7).weights
    users, met, unmet = drawn(log, 50_000, 7)
    people = [parts.user_parts([np.setdiff1d(log.histories()[u], [i])])[0] for u, i in zip(users, met, strict=True)]
    margins = np.einsum("nkd,nkd->nk", np.stack(people), parts.item_parts[met] - parts.item_parts[unmet])

    factors = np.exp(np.linspace(-5, 5, 201))

    def loss(w):
        return np.logaddexp(0, -np.outer(factors, margins @ w)).mean(axis=1).min() + 0.2 * (w @ w)

    steps = np.arange(0, 1.0001, 0.04)
    grid = [np.array([a, b, 1 - a - b]) for a in steps for b in steps if a + b <= 1]
    assert loss(weights) <= min(map(loss, grid)) + 1e-3
    assert weights == pytest.approx(min(grid, key=loss), abs=0.06)


def test_people_without_a_row_do_not_disturb_the_partition():
    log = log_of([(0, 0), (0, 1), (2, 1), (3, 2), (3, 3)], 6, 5)
    partition = grapheraser(quick_fit, shards=2).fit(log, seed=1).partition
    assert len(partition.keys) == 3


def test_one_vector_is_taken_out_of_a_mean_by_hand():
    log = log_of([(0, 1), (0, 2), (0, 2), (1, 0)], 3, 3)
    assert items_met(log).tolist() == [2, 1, 0]
    assert without(np.array([2.0, 3.0]), np.array([1.0, 3.0]), items_met(log)[:2]).tolist() == [3.0, 0.0]
