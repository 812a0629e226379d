"""SISA: exact, by shards of people."""

from dataclasses import replace

import numpy as np
import pytest

from db.errors import LetheError
from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS, RecBoleFitter
from recsys.vectors import ItemVectors
from tests.contracts.unlearner import ExactContract, after, before, quick_fit
from tests.unlearning.sharded_world import ShardedCases
from unlearning.data.partition import HashPartition
from unlearning.data.sharding import derived, shard_settings
from unlearning.data.sisa import sisa


class TestSisa(ShardedCases, ExactContract):
    name = "sisa"
    shards = 4

    def build(self, fit, shards=shards):
        return sisa(fit, shards=shards)

    def oracle(self, unlearner, log):
        """From scratch on the rows that stay, each shard with the seed it was last trained with."""
        places = HashPartition(self.shards).shard_of(before())
        stays = HashPartition(self.shards).shard_of(log)
        old, new = unlearner.fit(log, seed=1), unlearner.fit(log, seed=2)
        for shard in range(self.shards):
            if np.count_nonzero(places == shard) == np.count_nonzero(stays == shard):
                new.item_parts[:, shard], new.fold_parts[:, shard] = old.item_parts[:, shard], old.fold_parts[:, shard]
        return type(new)(new.name, new.items, new.item_parts, new.fold_parts, new.aggregator)

    def test_a_loaded_model_forgets_as_before(self, subject, tmp_path):
        log = before()
        model = subject.fit(log, seed=1)
        model.save(tmp_path)
        made = [subject.forget(m, log, after(log), seed=2).model for m in (model, type(model).load(tmp_path))]
        assert np.array_equal(made[0].item_vectors, made[1].item_vectors)

    def test_a_model_of_another_number_of_shards_is_refused(self, subject):
        log = before()
        with pytest.raises(LetheError, match="4 shards, the model 3"):
            subject.forget(self.build(quick_fit, shards=3).fit(log, seed=1), log, after(log), seed=2)


def test_the_scores_are_the_mean_of_the_shards_scores_of_items_that_they_have_rows_of():
    log, histories = before(), [np.array([0, 4]), np.array([9])]
    places = HashPartition(3).shard_of(log)
    scores, unknown = [], 0
    for shard in range(3):
        rows = log.take(places == shard)
        sub, known = quick_fit(rows, derived(1, 0, shard)), np.isin(np.arange(len(log.items)), rows.item)
        people = np.array([(sub.fold_vectors * known[:, None])[history].mean(axis=0) for history in histories])
        scores.append(people @ sub.item_vectors.T * known)
        unknown += np.count_nonzero(~known)
    mean = np.mean(scores, axis=0)
    assert unknown > 0
    assert sisa(quick_fit, shards=3).fit(log, seed=1).scores(histories) == pytest.approx(mean, abs=1e-5)


def test_a_person_keeps_the_shard_in_every_process_and_whoever_else_is_there():
    log = before()
    mine = HashPartition(5, "x").shard_of(log)
    assert [int(mine[log.user == person][0]) for person in range(10)] == [3, 0, 0, 2, 2, 3, 4, 2, 0, 1]
    renamed = type(log)(log.users[::-1], log.items, 35 - log.user, log.item, log.timestamp, log.rating, log.split)
    assert np.array_equal(HashPartition(5, "x").shard_of(renamed), mine)
    assert not np.array_equal(HashPartition(5, "y").shard_of(log), mine)


@pytest.mark.parametrize("settings", [BPR_SETTINGS, LIGHTGCN_SETTINGS], ids=lambda s: s.model)
def test_bpr_and_lightgcn_are_sharded(settings):
    few = replace(settings, epochs=2, dimension=4, batch=64)

    def fit(log, seed) -> ItemVectors:
        return RecBoleFitter(few).fit(log, seed=seed).backbone

    subject, log = sisa(fit, shards=3), before()
    model = subject.fit(log, seed=1)
    done = subject.forget(model, log, log.take(log.user != 3), seed=2)
    assert done.facts["shards_retrained"] == 1
    same = [np.array_equal(done.model.item_parts[:, k], model.item_parts[:, k]) for k in range(3)]
    assert sorted(same) == [False, True, True]
    assert done.model.item_vectors.shape == (24, 12)


def test_a_shard_takes_as_long_a_way_as_the_whole_model_in_fewer_epochs():
    whole = {"model": "bpr", "epochs": 35, "learning_rate": 2e-3, "batch": 2048}
    part = shard_settings(whole, 10)
    assert (part["epochs"], part["learning_rate"]) == (21, pytest.approx(2e-2))
    assert {**part, "epochs": 35, "learning_rate": 2e-3} == whole
    assert shard_settings(whole, 1) == whole
    assert shard_settings({**whole, "epochs": 1}, 4)["epochs"] == 1
