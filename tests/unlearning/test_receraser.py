"""RecEraser: balanced clusters of interactions, attention over sub-models."""

import numpy as np
import pytest
import torch

from db.errors import LetheError
from recsys.sharded import ShardedVectors, StaticWeights
from tests.contracts.unlearner import ExactContract, UnlearnerContract, before, quick_fit
from tests.recsys.toy import camps
from tests.unlearning.sharded_world import TableCases
from unlearning.data.attention import AttentionFitter, _Net, _Table, rotations
from unlearning.data.receraser import receraser
from unlearning.data.sharding import derived
from unlearning.data.weights import drawn

QUICK = AttentionFitter(steps=8, batch=64)


class TestRecEraser(TableCases, UnlearnerContract):
    name = "receraser"
    exact = False
    shards = 12
    """So many that a person's six rows are not in every shard."""

    def build(self, fit, shards=shards, **settings):
        return receraser(fit, shards=shards, aggregate=QUICK.fit, **settings)

    def learned(self, model, log, *, seed):
        return QUICK.fit(model, log, derived(seed, 2))


class TestRebuilt(ExactContract):
    name = "receraser"

    def unlearner(self, fit):
        return receraser(fit, shards=4, aggregate=QUICK.fit, rebuild_partition=True)


def test_the_default_aggregator_is_attention():
    model = receraser(quick_fit, shards=2).fit(before(), seed=1)
    assert model.settings() == {"backbone": "receraser", "dimension": 4, "shards": 2, "aggregator": "attention"}
    assert model.item_vectors.shape == (24, 4)


def test_shards_of_interactions_are_of_equal_size_and_a_person_is_in_several():
    log = before()
    places = receraser(quick_fit, shards=4, aggregate=QUICK.fit).fit(log, seed=1).partition.shard_of(log)
    assert np.bincount(places).tolist() == [54] * 4
    assert max(len(set(places[log.user == person].tolist())) for person in range(36)) > 1


def test_the_partition_is_clustered_from_the_vectors_it_is_given():
    log = before()
    asked = []

    def pretrain(given, seed):
        asked.append((given, seed))
        return np.stack([np.arange(36.0)] * 2, axis=1), np.ones((24, 2)) * np.arange(24.0)[:, None]

    receraser(quick_fit, shards=2, pretrain=pretrain, aggregate=QUICK.fit).fit(log, seed=1)
    assert asked == [(log, derived(1, 1))]


def turned_parts(seed=0):
    """Two sub-models that are one and the same, but for a rotation."""
    rng = np.random.default_rng(seed)
    log = camps(40, 16, 5, seed=1)
    base = quick_fit(log, 3, dimension=3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    items = np.stack([base.item_vectors, base.item_vectors @ turn], axis=1)
    folds = np.stack([base.fold_vectors, base.fold_vectors @ turn], axis=1)
    return base, ShardedVectors("toy", log.items, items, folds, StaticWeights.mean(2)), log


def test_transport_starts_by_turning_sub_models_onto_one_another():
    """With equal attention the aggregate of turned copies is then the one model."""
    base, parts, log = turned_parts()
    people = parts.user_parts(log.histories())
    assert rotations(parts, people)[0] == pytest.approx(np.eye(3), abs=1e-4)
    start = _Net(parts, people, seed=1).aggregator()
    model = ShardedVectors("toy", log.items, parts.item_parts, parts.fold_parts, start)
    histories = [np.array([0, 3]), np.array([5])]
    assert model.scores(histories) == pytest.approx(base.scores(histories), abs=1e-4)


def test_what_is_trained_is_what_is_served():
    _, parts, log = turned_parts()
    histories = log.histories()
    people = parts.user_parts(histories)
    net = _Net(parts, people, seed=1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += torch.linspace(-0.5, 0.5, parameter.numel()).reshape(parameter.shape)
    users, items = (torch.from_numpy(part.swapaxes(0, 1).copy()) for part in (people, parts.item_parts))
    scores = net.users(users) @ net.items(items).T
    served = ShardedVectors("toy", log.items, parts.item_parts, parts.fold_parts, net.aggregator())
    assert served.scores(histories) == pytest.approx(scores.detach().numpy(), abs=1e-4)


def bpr_loss(model, log):
    users, met, unmet = drawn(log, len(log), 99)
    scores = model.scores(log.histories())
    return np.logaddexp(0, scores[users, unmet] - scores[users, met]).mean()


def test_training_lowers_the_loss_and_leaves_random_states_and_sub_models_alone():
    log = before()
    places = np.arange(len(log)) % 3
    subs = [quick_fit(log.take(places == shard), shard) for shard in range(3)]
    items = np.stack([sub.item_vectors for sub in subs], axis=1)
    folds = np.stack([sub.fold_vectors for sub in subs], axis=1)
    parts = ShardedVectors("toy", log.items, items.copy(), folds.copy(), StaticWeights.mean(3))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    trained = AttentionFitter(steps=100, batch=64, learning_rate=0.01).fit(parts, log, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(parts.item_parts, items)
    assert np.array_equal(parts.fold_parts, folds)
    start = ShardedVectors(
        "toy", log.items, items, folds, _Net(parts, parts.user_parts(log.histories()), seed=1).aggregator()
    )
    assert bpr_loss(ShardedVectors("toy", log.items, items, folds, trained), log) < 0.95 * bpr_loss(start, log)


@pytest.mark.parametrize("bad", [{"steps": 0}, {"batch": 0}, {"learning_rate": float("nan")}])
def test_settings_that_cannot_train_are_refused(bad):
    with pytest.raises(LetheError, match="not trainable"):
        AttentionFitter(**bad)


def test_shards_that_were_shown_other_items_are_turned_by_their_people():
    """Each shard has vectors of half of the items, and none of the other half."""
    _, parts, log = turned_parts()
    first = (np.arange(16) < 8)[:, None]
    shown = np.stack([first, ~first], axis=1)
    people = parts.user_parts(log.histories())
    halves = ShardedVectors("toy", log.items, parts.item_parts * shown, parts.fold_parts, StaticWeights.mean(2))
    turned = [people[:, shard] @ rotations(halves, people)[shard] for shard in range(2)]
    assert turned[0] == pytest.approx(turned[1], abs=1e-3)
    assert np.abs(people[:, 0] - people[:, 1]).max() > 0.1


def test_the_first_margins_are_of_the_size_of_1():
    _, parts, log = turned_parts()
    people = parts.user_parts(log.histories())
    net, table = _Net(parts, people, seed=1), _Table(parts, people, log)
    triples = table.of(*(torch.from_numpy(column) for column in drawn(log, 64, 3)))
    net.scale(*triples)
    person, liked, other = (vectors.detach().numpy() for vectors in net(*triples))
    assert ((person * (liked - other)).sum(axis=1) ** 2).mean() == pytest.approx(1, rel=1e-3)
