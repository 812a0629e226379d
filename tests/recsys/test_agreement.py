"""Kendall's tau-b: by hand, at its ends, with ties, and against scipy's."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from recsys.agreement import kendall_tau


def tau(a, b):
    return float(kendall_tau(np.array([a], dtype=float), np.array([b], dtype=float))[0])


def test_by_hand():
    assert tau([4, 3, 2, 1], [4, 3, 2, 1]) == 1
    assert tau([4, 3, 2, 1], [1, 2, 3, 4]) == -1
    assert tau([4, 3, 2, 1], [4, 3, 1, 2]) == pytest.approx((5 - 1) / 6)
    # Of six pairs one is tied in a; of the other five two agree and three do not: (2 - 3) / sqrt(5 * 6).
    assert tau([3, 2, 2, 1], [3, 1, 2, 4]) == pytest.approx(-1 / np.sqrt(30))
    assert tau([3, 2, 2, 1], [4, 3, 2, 1]) == pytest.approx(5 / np.sqrt(30))


def test_only_the_order_counts_and_a_list_without_one_has_none():
    assert tau([0.1, 0.2, 9.0], [-5, 3, 3.5]) == 1
    assert np.isnan(tau([1, 1, 1], [3, 2, 1]))
    assert np.isnan(tau([1, 1, 1], [1, 1, 1]))


def test_equals_scipys_on_random_lists_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, size=(2, 60, 12)).astype(np.float32)
    expected = [kendalltau(first, second).statistic for first, second in zip(a, b, strict=True)]
    assert kendall_tau(a, b) == pytest.approx(expected)


def test_matrices_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        kendall_tau(np.zeros((2, 3)), np.zeros((2, 4)))
