"""What the tests of sharded methods share."""

import numpy as np
import pytest

from db.errors import LetheError
from recsys.ease import EaseFitter
from tests.contracts.unlearner import GONE, Spy, after, before, pairs, quick_fit, same
from tests.recsys.toy import log_of
from unlearning.data.sharding import Partitioned


def rows_of(log, places, shard):
    return pairs(log.take(places == shard))


class ShardedCases:
    """Cases that every sharded method has to answer; mixed into its contract class, with `build(fit, **settings)`."""

    shards: int

    def build(self, fit, **settings):
        raise NotImplementedError

    def unlearner(self, fit):
        return self.build(fit)

    def test_shards_that_lost_nothing_stay_bit_for_bit_and_the_others_are_fitted_on_what_stays(self, subject, spy):
        log = before()
        model = subject.fit(log, seed=1)
        person = log.user == GONE[0]
        hit = set(model.partition.shard_of(log)[person].tolist())
        assert 0 < len(hit) < self.shards
        spy.logs.clear()
        done = subject.forget(model, log, log.take(~person), seed=2)
        assert done.facts["shards_retrained"] == len(hit) == len(spy.logs)
        for shard in range(self.shards):
            equal = np.array_equal(done.model.item_parts[:, shard], model.item_parts[:, shard])
            assert equal == (shard not in hit)
            assert equal == np.array_equal(done.model.fold_parts[:, shard], model.fold_parts[:, shard])

    def test_a_given_model_is_left_as_it_is(self, subject):
        log = before()
        model = subject.fit(log, seed=1)
        subject.forget(model, log, after(log), seed=2)
        assert same(model, subject.fit(log, seed=1))

    def test_shards_share_all_items_and_no_row(self, subject, spy):
        log = before()
        subject.fit(log, seed=1)
        assert all(given.items == log.items for given in spy.logs)
        assert sum(len(pairs(given)) for given in spy.logs) == len(pairs(log))
        assert set().union(*map(pairs, spy.logs)) == pairs(log)

    def test_every_shard_has_a_seed_of_its_own(self):
        seeds = []
        subject = self.build(lambda log, seed: seeds.append(seed) or quick_fit(log, seed))
        log = before()
        model = subject.fit(log, seed=1)
        subject.forget(model, log, after(log), seed=2)
        assert len(set(seeds)) == len(seeds) > self.shards

    def test_one_shard_is_one_model_of_everything(self):
        spy = Spy(quick_fit)
        subject, log = self.build(spy, shards=1), before()
        model = subject.fit(log, seed=1)
        assert [pairs(given) for given in spy.logs] == [pairs(log)]
        spy.logs.clear()
        subject.forget(model, log, after(log), seed=2)
        assert [pairs(given) for given in spy.logs] == [pairs(after(log))]

    def test_more_shards_than_rows_leave_some_empty(self):
        log = log_of([(0, 0), (0, 1), (1, 1), (2, 2)], 4, 5)
        subject = self.build(quick_fit, shards=9)
        model = subject.fit(log, seed=1)
        assert 0 < np.count_nonzero(model.live) < 9
        assert np.isfinite(model.scores([np.array([0, 1])])).all()
        assert not model.item_parts[:, ~model.live].any()

    def test_a_shard_whose_rows_are_all_gone_becomes_zero_and_stays_so(self, subject):
        log = before()
        model = subject.fit(log, seed=1)
        places = model.partition.shard_of(log)
        fewer = log.take(places != places[0])
        done = subject.forget(model, log, fewer, seed=2)
        assert not done.model.live[places[0]]
        assert np.count_nonzero(done.model.live) == self.shards - 1
        assert np.isfinite(done.model.scores([np.array([0, 1])])).all()
        last = fewer.take(np.arange(len(fewer)) > 0)
        assert not subject.forget(done.model, fewer, last, seed=3).model.live[places[0]]

    def test_nothing_left_and_nothing_at_all_are_refused(self, subject):
        log = before()
        none = log.take(np.zeros(len(log), dtype=bool))
        with pytest.raises(LetheError, match="no interactions are left"):
            subject.forget(subject.fit(log, seed=1), log, none, seed=2)
        with pytest.raises(LetheError, match="no interactions to train on"):
            subject.fit(none, seed=1)

    def test_fewer_shards_than_one_are_refused(self):
        with pytest.raises(LetheError, match="at least 1"):
            self.build(quick_fit, shards=0).fit(before(), seed=1)

    def test_ease_is_refused_with_its_own_way_named(self):
        with pytest.raises(LetheError, match="downdate"):
            self.build(lambda log, seed: EaseFitter().fit(log)).fit(before(), seed=1)


class TableCases(ShardedCases):
    """Cases of methods whose partition is made from rows."""

    def test_kept_partition_the_outcome_is_the_oracle_given_the_partition(self, subject):
        """Touched shards and the aggregator equal those of a fit without the rows, untouched ones are as before."""
        log = before()
        model = subject.fit(log, seed=1)
        few = log.take(log.user != GONE[0])
        done = subject.forget(model, log, few, seed=2)
        assert (done.exact, done.facts["exact_given"]) == (False, "the partition")
        fresh = subject.fit_within(few, model.partition.within(few), seed=2)
        hit = set(model.partition.shard_of(log)[log.user == GONE[0]].tolist())
        for shard in range(self.shards):
            expected = fresh if shard in hit else model
            assert np.array_equal(done.model.item_parts[:, shard], expected.item_parts[:, shard])
        plain = Partitioned(model.name, log.items, done.model.item_parts, done.model.fold_parts, fresh.aggregator)
        assert same_aggregator(done.model, self.learned(plain, few, seed=2))
        assert not same_aggregator(done.model, model.aggregator)

    def learned(self, model, log, *, seed):
        """The aggregator that the method learns over the parts of `model`."""
        raise NotImplementedError

    def test_the_partition_forgets_too(self, subject):
        log = before()
        model = subject.fit(log, seed=1)
        done = subject.forget(model, log, after(log), seed=2)
        assert len(done.model.partition.keys) == len(np.unique(model.partition.within(after(log)).keys))
        assert len(done.model.partition.keys) < len(model.partition.keys)
        with pytest.raises(LetheError, match="belong to no shard"):
            done.model.partition.shard_of(log)

    def test_a_loaded_model_needs_its_partition_back(self, subject, tmp_path):
        log = before()
        model = subject.fit(log, seed=1)
        model.save(tmp_path)
        model.partition.save(tmp_path)
        loaded = Partitioned.load(tmp_path)
        with pytest.raises(LetheError, match="with_partition"):
            subject.forget(loaded, log, after(log), seed=2)
        again = loaded.with_partition(type(model.partition).load(tmp_path))
        made = [subject.forget(m, log, after(log), seed=2).model for m in (model, again)]
        assert same(*made)

    def test_a_rebuilt_partition_needs_no_old_one(self, tmp_path):
        subject, log = self.build(quick_fit, rebuild_partition=True), before()
        subject.fit(log, seed=1).save(tmp_path)
        assert subject.forget(Partitioned.load(tmp_path), log, after(log), seed=2).exact

    def test_every_shard_has_rows(self, subject, spy):
        subject.fit(before(), seed=1)
        assert len(spy.logs) == self.shards


def same_aggregator(model, aggregator):
    mine, other = model.aggregator.tensors(), aggregator.tensors()
    return all(np.array_equal(mine[key], other[key]) for key in mine)
