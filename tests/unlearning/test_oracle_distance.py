"""Distance to the oracle: by hand, against other oracles, and void where a model that forgot nothing is as near."""

import numpy as np
import pytest

from db.errors import LetheError
from recsys.ease import EaseFitter, EaseSettings
from tests.recsys.toy import camps, log_of
from tests.unlearning.memories import Blank
from unlearning.audit.evidence import distance_limit
from unlearning.audit.oracle import (
    distances,
    in_other_order,
    largest_difference,
    lists_of,
    neighbours,
    score_verdict,
    strangers,
    verdicts,
)
from unlearning.data.downdate import Change, downdate

P = 0.9


def lists(*rows):
    return np.array(rows, dtype=np.int64)


def test_distances_by_hand():
    """Agreement of (1, 2, 3) and (1, 3, 4) is 1, 1/2, 2/3 to depths 1, 2, 3; two items are in both, four in either."""
    overlap = (1 - P) / P * (1 * P + 1 / 2 * P**2 + 2 / 3 * P**3) + 2 / 3 * P**3
    got = distances(lists([1, 2, 3]), lists([1, 3, 4]))
    assert got["rbo"] == pytest.approx([1 - overlap])
    assert got["jaccard@10"] == pytest.approx([1 - 2 / 4])


def test_equal_lists_are_at_0_and_disjoint_ones_at_1():
    base = np.arange(40).reshape(2, 20)
    for values in distances(base, base).values():
        assert values == pytest.approx([0, 0])
    for values in distances(base, base[::-1]).values():
        assert values == pytest.approx([1, 1])


def test_the_limit_by_hand():
    """Three oracles at distances .1, .2, .3: means .15, .2, .25, s = .05·2, t(.975, 2) = 4.30265."""
    between = np.array([[0, 0.1, 0.2], [0.1, 0, 0.3], [0.2, 0.3, 0]])
    assert distance_limit(between) == pytest.approx(0.2 + 4.30265 * 0.1 * np.sqrt(4 / 3), abs=1e-5)
    with pytest.raises(ValueError, match="2 oracles give no spread"):
        distance_limit(between[:2, :2])


@pytest.mark.parametrize("n", [3, 5])
def test_one_more_model_of_the_kind_is_over_the_limit_as_often_as_promised(n):
    """Each model is a normal distance away from a common centre, and so far from each other model as both together."""
    rng, over = np.random.default_rng(0), 0
    for _ in range(1500):
        own = rng.normal(3, 1, n + 1)
        between = np.add.outer(own, own) * (1 - np.eye(n + 1))
        over += between[n, :n].mean() > distance_limit(between[:n, :n], level=0.95)
    assert over / 1500 == pytest.approx(0.05, abs=0.015)


def noisy(seed, people=200, moved=3):
    """One list for everybody, with some items exchanged by lot."""
    rng = np.random.default_rng(seed)
    out = np.tile(np.arange(20), (people, 1))
    for row in out:
        row[rng.choice(20, size=moved, replace=False)] = rng.integers(100, 200, size=moved)
    return out


ORACLES = [noisy(seed) for seed in range(4)]


def test_another_oracle_passes_and_a_model_further_away_does_not():
    control = noisy(9, moved=12)
    for verdict in verdicts("neighbours", noisy(10), ORACLES, control):
        assert verdict.passed
        assert verdict.oracle == pytest.approx(verdict.value, rel=0.1)
    for verdict in verdicts("neighbours", noisy(10, moved=6), ORACLES, control):
        assert (verdict.void, verdict.passed) == (False, False)


def test_void_where_the_model_that_forgot_nothing_is_as_near_as_an_oracle():
    found = verdicts("random", noisy(10), ORACLES, ORACLES[0])
    assert [verdict.audit for verdict in found] == ["oracle-rbo random", "oracle-jaccard@10 random"]
    assert all(verdict.void and not verdict.passed for verdict in found)


# Exact methods.

LOG = camps(users=60, items=40, each=10, seed=2)
GONE = np.array([3, 8, 21])
STAYING = LOG.take(~np.isin(LOG.user, GONE))
RIDGE = EaseSettings(5.0)


def ease(log, _seed=0):
    return EaseFitter(RIDGE).fit(log)


def test_scores_in_another_order_of_items_are_the_same_but_for_rounding():
    histories = LOG.histories()
    apart = largest_difference(ease(LOG).scores, in_other_order(ease, LOG, 1), histories)
    assert apart < 1e-5
    by_hand = np.abs(ease(LOG).scores(histories) - ease(STAYING).scores(histories)).max()
    assert largest_difference(ease(LOG).scores, ease(STAYING).scores, histories) == pytest.approx(by_hand)


def test_a_downdate_is_at_the_oracle_and_a_forgotten_person_left_in_is_seen():
    histories, kept = STAYING.histories(), LOG.histories()
    oracles = [in_other_order(ease, STAYING, seed) for seed in range(5)]
    exact = downdate(ease(LOG), [Change(kept[person], kept[person][:0]) for person in GONE])
    found = score_verdict(exact.scores, oracles, ease(LOG).scores, histories)
    assert found.passed
    missed = downdate(ease(LOG), [Change(kept[person], kept[person][:0]) for person in GONE[:2]])
    assert not score_verdict(missed.scores, oracles, ease(LOG).scores, histories).passed
    assert score_verdict(exact.scores, oracles, oracles[1], histories).void


def test_lists_of_a_backbone_are_a_matrix_without_what_is_excluded():
    model, histories = Blank(LOG, 0), LOG.histories()
    found = lists_of(model, histories, histories, 12)
    assert found.shape == (60, 12)
    assert not any(set(row) & set(history) for row, history in zip(found.tolist(), histories, strict=True))


def test_neighbours_by_hand():
    """Against (0, 1): person 1 shares both of 2, person 2 one of 2, person 3 one of 4, person 4 nothing."""
    sets = [(0, 1), (0, 1), (1, 2), (1, 2, 3, 4), (5,)]
    log = log_of([(user, item) for user, items in enumerate(sets) for item in items], 6, 6)
    assert neighbours(log, np.array([0]), 3).tolist() == [1, 2, 3]
    assert sorted(strangers(log, np.array([0]), 4, seed=0).tolist()) == [1, 2, 3, 4]
    with pytest.raises(LetheError, match="there are 4"):
        strangers(log, np.array([0]), 5, seed=0)
