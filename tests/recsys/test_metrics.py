from math import log2

import numpy as np
import pytest

from db.errors import LetheError
from recsys.metrics import PAD, evaluate, jaccard, pad, paired_bootstrap, rbo


def rows(*items):
    return np.array(items, dtype=np.int64)


def test_metrics_by_hand():
    lists = [rows(5, 1, 7, 2), rows(9, 8, 6, 4), rows(3)]
    relevant = [rows(1, 2), rows(0), rows(3, 4, 5)]
    got = evaluate(lists, relevant, 3)
    assert got.hit_rate.tolist() == [1, 0, 1]
    assert got.recall == pytest.approx([1 / 2, 0, 1 / 3])
    first = (1 / log2(3)) / (1 + 1 / log2(3))
    third = 1 / (1 + 1 / log2(3) + 1 / log2(4))
    assert got.ndcg == pytest.approx([first, 0, third])
    assert got.means()["recall@3"] == pytest.approx((1 / 2 + 1 / 3) / 3)


def test_the_ideal_is_truncated_at_k():
    got = evaluate([rows(0, 1)], [rows(0, 1, 2, 3, 4)], 2)
    assert got.ndcg.tolist() == [1.0]
    assert got.recall.tolist() == [0.4]


def test_the_same_item_of_another_person_is_no_hit():
    got = evaluate([rows(4), rows(6)], [rows(6), rows(4)], 1)
    assert got.hit_rate.tolist() == [0, 0]


def test_a_person_without_relevant_items_is_refused_not_scored_zero():
    with pytest.raises(LetheError, match="person 1"):
        evaluate([rows(1), rows(2)], [rows(1), rows()], 1)


def test_padding_never_hits():
    assert pad([rows(3), rows(1, 2, 3)], 2).tolist() == [[3, PAD], [1, 2]]
    assert evaluate([rows()], [rows(0)], 5).ndcg.tolist() == [0.0]


def test_bootstrap_interval_covers_the_mean_and_shrinks_with_agreement():
    rng = np.random.default_rng(0)
    old = rng.random(400)
    noisy = paired_bootstrap(old + rng.normal(0, 1, 400), old, seed=1)
    steady = paired_bootstrap(old + 0.1, old, seed=1)
    assert noisy.low < noisy.mean < noisy.high
    assert (steady.low, steady.high) == pytest.approx((0.1, 0.1))
    assert steady.excludes_zero
    standard_error = 1 / np.sqrt(400)
    assert noisy.high - noisy.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert not paired_bootstrap(rng.normal(0, 1, 400), rng.normal(0, 1, 400), seed=2).excludes_zero


def test_rbo_by_hand():
    a, b = rows(1, 2, 3)[None], rows(1, 3, 4)[None]
    p = 0.9
    agreement = [1, 1 / 2, 2 / 3]
    expected = (1 - p) / p * sum(x * p**d for d, x in enumerate(agreement, 1)) + 2 / 3 * p**3
    assert rbo(a, b)[0] == pytest.approx(expected)


def test_rbo_bounds_and_top_weight():
    base = np.arange(10)[None]
    assert rbo(base, base)[0] == pytest.approx(1)
    assert rbo(base, base + 10)[0] == 0
    top, bottom = base.copy(), base.copy()
    top[0, 0], bottom[0, 9] = 99, 99
    assert rbo(base, top)[0] < rbo(base, bottom)[0] < 1
    assert rbo(pad([rows(1, 2)], 5), pad([rows(1, 2)], 5))[0] == pytest.approx(1)
    assert rbo(pad([rows()], 5), pad([rows()], 5))[0] == 1


def test_jaccard_by_hand():
    a = pad([rows(1, 2, 3), rows(1), rows()], 3)
    b = pad([rows(2, 3, 4), rows(1, 2, 3), rows()], 3)
    assert jaccard(a, b, 3) == pytest.approx([2 / 4, 1 / 3, 1])
    assert jaccard(a, b, 1) == pytest.approx([0, 1, 1])


def test_values_equal_recboles_on_random_lists(monkeypatch):
    from recbole.evaluator.metrics import NDCG, Hit, Recall

    monkeypatch.setattr(np, "float", float, raising=False)  # RecBole's NDCG asks for it; its Config would supply it
    rng = np.random.default_rng(3)
    lists = [rng.permutation(60)[:10] for _ in range(50)]
    relevant = [rng.choice(60, size=rng.integers(1, 25), replace=False) for _ in range(50)]
    found = np.array([np.isin(shown, wanted) for shown, wanted in zip(lists, relevant, strict=True)])
    counts = np.array([len(wanted) for wanted in relevant])
    config = {"topk": [10], "metric_decimal_place": 8}
    for k in (1, 5, 10):
        ours = evaluate(lists, relevant, k)
        assert ours.ndcg == pytest.approx(NDCG(config).metric_info(found, counts)[:, k - 1])
        assert ours.recall == pytest.approx(Recall(config).metric_info(found, counts)[:, k - 1])
        assert ours.hit_rate == pytest.approx(Hit(config).metric_info(found)[:, k - 1])
