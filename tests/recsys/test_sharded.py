"""Sub-models of shards, served as one backbone."""

import numpy as np
import pytest

from db.errors import LetheError
from recsys.sharded import Attention, ShardedVectors, StaticWeights
from recsys.vectors import ItemVectors
from tests.contracts.backbone import ITEMS, USERS, BackboneContract
from tests.recsys.toy import camps

SHARDS, WIDTH = 3, 4


def parts(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(ITEMS, SHARDS, WIDTH)).astype(np.float32) for _ in range(2)]


def attention(live=(True, True, True), hidden=2, seed=1):
    rng = np.random.default_rng(seed)
    shapes = [(SHARDS, WIDTH, WIDTH), (SHARDS, WIDTH), *[(WIDTH, hidden), (hidden,), (hidden,)] * 2]
    return Attention(*(rng.normal(size=shape).astype(np.float32) for shape in shapes), np.array(live))


def model(aggregator, name="sharded"):
    return ShardedVectors(name, camps(USERS, ITEMS).items, *parts(), aggregator)


class TestMean(BackboneContract):
    name = "sharded"

    @pytest.fixture(scope="class")
    def fitted(self):
        return model(StaticWeights.mean(SHARDS))


class TestAttention(BackboneContract):
    name = "sharded"

    @pytest.fixture(scope="class")
    def fitted(self):
        return model(attention())


def test_static_weights_mix_the_scores_of_the_sub_models():
    weights = np.array([0.5, 0.0, 0.25], dtype=np.float32)
    items, folds = parts()
    histories = [np.array([0, 3]), np.array([7])]
    subs = [ItemVectors("sub", camps(USERS, ITEMS).items, items[:, k], folds[:, k]) for k in range(SHARDS)]
    mixed = sum(w * sub.scores(histories) for w, sub in zip(weights, subs, strict=True))
    assert model(StaticWeights(weights)).scores(histories) == pytest.approx(mixed, abs=1e-5)


def test_attention_by_hand():
    """Two shards of one dimension: carried to 2x and x + 1, attention 1·relu(x) for people and none for items."""
    one = np.ones((1, 1), dtype=np.float32)
    aggregator = Attention(
        transport=np.array([[[2]], [[1]]], dtype=np.float32),
        shift=np.array([[0], [1]], dtype=np.float32),
        user_layer=one,
        user_bias=np.zeros(1, dtype=np.float32),
        user_head=np.ones(1, dtype=np.float32),
        item_layer=one,
        item_bias=np.zeros(1, dtype=np.float32),
        item_head=np.zeros(1, dtype=np.float32),
        live=np.array([True, True]),
    )
    vectors = np.array([[[1], [3]]], dtype=np.float32)
    e2, e4 = np.exp(2), np.exp(4)
    assert aggregator.items(vectors) == pytest.approx(np.array([[3.0]]))
    assert aggregator.users(vectors) == pytest.approx(np.array([[(2 * e2 + 4 * e4) / (e2 + e4)]]))


def test_a_shard_without_rows_gets_no_attention():
    vectors = parts()[0]
    changed = vectors.copy()
    changed[:, 1] = 99.0
    aggregator = attention(live=(True, False, True))
    assert np.array_equal(aggregator.users(vectors), aggregator.users(changed))
    assert not np.array_equal(attention().users(vectors), attention().users(changed))


@pytest.mark.parametrize("bad", [[-0.1, 1.1], [np.nan, 1.0]])
def test_weights_below_zero_or_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="at least 0"):
        StaticWeights(np.array(bad, dtype=np.float32))


def test_attention_over_nothing_and_vectors_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="none of which"):
        attention(live=(False, False, False))
    fields = {**attention().tensors(), "shift": np.full((SHARDS, WIDTH), np.nan, dtype=np.float32)}
    with pytest.raises(LetheError, match="smaller learning rate"):
        Attention(**fields)


def test_parts_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="two tensors"):
        ShardedVectors("sharded", ("a",), np.zeros((1, 2, 3)), np.zeros((1, 3, 3)), StaticWeights.mean(2))
