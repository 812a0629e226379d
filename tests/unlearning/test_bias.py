"""Unlearning bias: a change that the oracle shows too is none, a change that it does not show is found."""

import numpy as np
import pytest
from scipy.stats import t as student

from unlearning.audit.bias import biases, shuffled, spreads, strata, verdict

PEOPLE, ITEMS, K = 120, 60, 20
HISTORIES = [np.arange(1 + person // 4) for person in range(PEOPLE)]
RELEVANT = [np.random.default_rng(person).choice(ITEMS, size=5, replace=False) for person in range(PEOPLE)]
POPULARITY = np.arange(ITEMS)
STRATA = strata(HISTORIES, RELEVANT, POPULARITY)


def model(seed, good=0.5, people=None):
    """Lists in which each relevant item is near the top with probability `good` (`people`: of these alone, else .5)."""
    rng = np.random.default_rng(seed)
    out = np.empty((PEOPLE, K), dtype=np.int64)
    for person in range(PEOPLE):
        share = good if people is None or person in people else 0.5
        first = [item for item in RELEVANT[person].tolist() if rng.random() < share]
        rest = [item for item in rng.permutation(ITEMS).tolist() if item not in first]
        out[person] = (first + rest)[:K]
    return out


BEFORE = model(100, good=0.7)
ORACLES = [model(seed) for seed in range(8)]


def test_strata_by_hand():
    histories = [np.array([1, 1, 1]), np.array([1, 2, 3]), np.array([4, 5]), np.array([0, 1, 2, 3])]
    relevant = [np.array([0, 3]), np.array([1]), np.array([2, 3]), np.array([0, 1])]
    found = {s.name: s for s in strata(histories, relevant, np.array([9, 8, 1, 2]), parts=2)}
    assert found["activity 1/2"].people.tolist() == [True, False, True, False]
    assert found["activity 2/2"].people.tolist() == [False, True, False, True]
    unpopular, popular = found["popularity 1/2"], found["popularity 2/2"]
    assert unpopular.people.tolist() == [True, False, True, False]
    assert [wanted.tolist() for wanted in unpopular.relevant] == [[3], [2, 3]]
    assert popular.people.tolist() == [True, True, False, True]
    assert [wanted.tolist() for wanted in popular.relevant] == [[0], [1], [0, 1]]
    lists = np.array([[3, 0], [0, 1], [0, 1], [1, 0]])
    assert popular.ndcg(lists) == pytest.approx([1 / np.log2(3), 1 / np.log2(3), 1])


def test_a_change_that_the_oracle_shows_too_is_no_bias():
    """Everybody's NDCG falls by a good deal, as it does under the oracle."""
    for found in biases(STRATA, BEFORE, model(50), ORACLES):
        assert found.oracle_change < -0.05
        assert abs(found.bias) <= found.limit
    assert verdict(STRATA, BEFORE, model(50), ORACLES, seed=0).passed


def test_the_bias_is_the_distance_to_the_oracles_mean():
    (found,) = biases(STRATA[:1], BEFORE, model(50), ORACLES)
    ndcg = [STRATA[0].ndcg(lists).mean() for lists in [model(50), *ORACLES]]
    assert found.bias == pytest.approx(ndcg[0] - np.mean(ndcg[1:]))
    each = np.stack([STRATA[0].ndcg(lists) for lists in ORACLES])
    alone = np.sqrt(each.var(axis=0, ddof=1).mean() / each.shape[1])
    assert found.limit == pytest.approx(2.36462 * max(alone, np.std(ndcg[1:], ddof=1)) * np.sqrt(9 / 8), rel=1e-4)


def test_the_spread_of_strata_is_told_by_all_of_them_by_hand():
    alike = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])  # people vary, their mean does not
    shifted = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])  # both move together: twice what they would alone
    assert spreads([alike]) == pytest.approx([np.sqrt(0.25 / 2)])
    assert spreads([shifted]) == pytest.approx([0.5])
    assert spreads([shifted, shifted / 2]) == pytest.approx([0.5, 0.25])
    assert spreads([shifted, alike]) == pytest.approx([np.sqrt(0.25 / 2)] * 2)
    assert spreads([np.ones((3, 4))]) == [0.0]


@pytest.mark.parametrize("common", [0.0, 0.03])
def test_another_oracle_stays_under_all_limits_as_often_as_is_claimed(common):
    """Three oracles whose people vary by themselves, and which differ as a whole by `common`."""
    rng = np.random.default_rng(1)
    groups, over, widths = 8, 0, []
    for _ in range(600):
        as_a_whole = common * rng.normal(size=(4, 1))
        people = [rng.normal(size=(4, 100)) * 0.2 + as_a_whole for _ in range(groups)]
        spread = spreads([one[:3] for one in people])
        width = student.ppf(1 - 0.05 / (2 * groups), 2 * groups // 2) * np.sqrt(4 / 3)
        gap = np.array([one[3].mean() - one[:3].mean() for one in people])
        over += bool((np.abs(gap) > width * spread).any())
        widths.append(width * spread[0])
    assert over / 600 <= 0.08
    alone = student.ppf(1 - 0.05 / (2 * groups), 2) * np.sqrt(4 / 3) * np.hypot(0.02, common)
    assert np.mean(widths) < 0.4 * alone  # of the limit that three means by themselves would set


def test_harm_to_one_stratum_alone_is_found_and_named():
    most_active = set(range(90, 120))
    found = verdict(STRATA, BEFORE, model(50, good=0.2, people=most_active), ORACLES, seed=0)
    assert (found.void, found.passed) == (False, False)
    assert found.detail.startswith("NDCG@10 of activity 4/4: 30 people")


def test_a_gain_beyond_the_oracle_is_a_bias_too():
    assert not verdict(STRATA, BEFORE, model(50, good=0.9), ORACLES, seed=0).passed


def test_void_where_the_planted_harm_would_not_be_seen():
    """Oracles that differ wildly make limits under which anything goes."""
    wild = [model(seed, good=good) for seed, good in enumerate((0.0, 0.3, 1.0))]
    found = verdict(STRATA, BEFORE, model(50), wild, seed=0)
    assert (found.void, found.passed) == (True, False)


def test_a_model_equal_to_a_deterministic_oracle_passes_and_any_other_does_not():
    same = [ORACLES[0]] * 3
    assert verdict(STRATA, BEFORE, ORACLES[0], same, seed=0).passed
    assert not verdict(STRATA, BEFORE, ORACLES[1], same, seed=0).passed


def test_shuffling_leaves_the_items_of_everybody_and_the_lists_of_the_others():
    chosen = np.arange(PEOPLE) < 30
    out = shuffled(BEFORE, chosen, seed=0)
    assert (np.sort(out) == np.sort(BEFORE)).all()
    assert (out[30:] == BEFORE[30:]).all()
    assert (out[:30] != BEFORE[:30]).any(axis=1).all()


def test_a_stratum_that_no_oracle_ever_hits_is_left_out_and_named():
    """One hit of a method there would be an infinite excess of a limit of 0, whatever else it does."""
    first = POPULARITY < ITEMS // 4
    never = [_without(lists, first) for lists in ORACLES]
    before, after = _without(BEFORE, first), _without(model(50), first)
    after[0, 0] = next(item for item in RELEVANT[_having(first)] if first[item])
    lucky = after.copy()
    lucky[_having(first)] = after[0]
    found = {one.stratum: one for one in biases(STRATA, before, lucky, never)}
    assert (found["popularity 1/4"].judged, found["popularity 1/4"].limit) == (False, 0.0)
    assert found["popularity 1/4"].change > 0
    assert all(one.judged for name, one in found.items() if name != "popularity 1/4")
    told = verdict(STRATA, before, lucky, never, seed=0)
    assert told.passed
    assert told.detail.endswith("left out, as too few people or no oracle's hit are there: popularity 1/4")
    assert "left out" not in verdict(STRATA, BEFORE, model(50), ORACLES, seed=0).detail


def test_void_where_no_oracle_hits_at_all():
    nothing = [_without(lists, POPULARITY >= 0) for lists in ORACLES]
    found = verdict(STRATA, BEFORE, model(50), nothing, seed=0)
    assert (found.void, found.passed, found.control) == (True, False, None)
    assert all(group.name in found.detail for group in STRATA)


def _without(lists, banned):
    """The lists with an item that is relevant to nobody where a banned one stood."""
    return np.where(banned[lists], ITEMS, lists)


def _having(chosen):
    """Somebody to whom one of the chosen items is relevant."""
    return next(person for person in range(PEOPLE) if chosen[RELEVANT[person]].any())


def test_a_control_that_is_an_oracle_is_found_whatever_the_method_does():
    """Harm planted in the lists of a method that favours those very people would cancel out."""
    least = set(range(30))
    found = verdict(STRATA, BEFORE, model(50, good=0.75, people=least), ORACLES, seed=0)
    assert (found.void, found.passed) == (False, False)
    assert found.control == verdict(STRATA, BEFORE, model(51), ORACLES, seed=0).control
