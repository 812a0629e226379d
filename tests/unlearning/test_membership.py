"""Membership inference finds a model that remembers, acquits one that never saw, and is void where it cannot tell."""

import numpy as np
import pytest

from db.errors import LetheError
from recsys.ease import EaseFitter, EaseSettings
from recsys.metrics import Interval
from tests.recsys.toy import camps
from tests.unlearning.memories import Blank, Lookup
from unlearning.audit import canaries, membership
from unlearning.audit.evidence import Attack, Evidence, attack, drawn, reached
from unlearning.audit.questions import logits, questions
from unlearning.data.downdate import Change, downdate

LOG = camps(users=80, items=120, each=10, seed=4)
PEOPLE = canaries.pick(LOG, 12, seed=0)
PLANTED = canaries.plant(LOG, 6, seed=0, items=5, copies=3)
RIDGE = EaseSettings(20.0)


def lookup(log, seed):
    return Lookup(log, noise=0.1, seed=seed)


def retrained(_model, _before, after, seed):
    return lookup(after, seed)


def kept(model, _before, _after, _seed):
    return model


def audited(held, fit, forget, *, draws=200):
    runs = np.stack([held.run(shadow, fit, forget) for shadow in range(len(held.present))])
    return membership.combine(held, runs, seed=1, draws=draws)


def evidence(score, positive, owner=None):
    rows = np.arange(len(score)) if owner is None else np.array(owner)
    return Evidence(np.array(score, dtype=np.float64), np.array(positive, dtype=np.bool_), rows)


# The curve.


def test_auc_and_tpr_by_hand():
    """Positives 3, 2, 2 against negatives 2, 1: the pairs with a tie count half; only 3 stands above every negative."""
    wins = [1, 1, 0.5, 1, 0.5, 1]
    assert reached(evidence([3, 2, 2, 2, 1], [1, 1, 1, 0, 0])) == pytest.approx((sum(wins) / 6, 1 / 3))


def test_auc_equals_the_count_over_all_pairs():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 9, 300) / 4, rng.random(300) < 0.4
    a, b = score[positive][:, None], score[~positive][None]
    assert reached(evidence(score, positive))[0] == pytest.approx(((a > b) + (a == b) / 2).mean())


def test_one_in_a_hundred_negatives_may_stand_above_the_threshold():
    score = np.concatenate([[1000], np.arange(199), [198.5, 197.5, 50.5]])
    positive = np.concatenate([np.zeros(200), np.ones(3)])
    assert reached(evidence(score, positive))[1] == pytest.approx(2 / 3)


def test_equal_scores_find_nobody():
    found = attack(evidence([1.0] * 40, [1, 0] * 20), seed=0)
    assert (found.auc.low, found.auc.mean, found.auc.high, found.tpr.high) == (0.5, 0.5, 0.5, 0.0)


def test_rows_of_one_owner_are_drawn_together():
    """Fifty copies of each row say no more than the row: the interval must not shrink."""
    rng = np.random.default_rng(1)
    score, positive = rng.normal(size=60), np.arange(60) % 2 == 0
    alone = drawn(evidence(score, positive, np.arange(60) // 2), seed=0, draws=400)[0]
    copies = evidence(np.repeat(score, 50), np.repeat(positive, 50), np.repeat(np.arange(60) // 2, 50))
    assert drawn(copies, seed=0, draws=400)[0] == pytest.approx(alone)
    assert alone.std() == pytest.approx(np.sqrt(61 / (12 * 30 * 30)), rel=0.25)


@pytest.mark.parametrize("positive", [[1, 1], [0, 0]])
def test_one_kind_alone_is_refused(positive):
    with pytest.raises(ValueError, match="positives and negatives"):
        evidence([1, 2], positive)


# What is asked.


def test_a_question_leaves_the_item_out_of_the_history():
    asked = questions([np.array([3, 1, 3]), np.array([0, 4, 2])], seed=0)
    assert [(o, i, h.tolist()) for o, i, h in zip(asked.owner, asked.item, asked.histories, strict=True)] == [
        (0, 1, [3]),
        (0, 3, [1]),
        (1, 0, [2, 4]),
        (1, 2, [0, 4]),
        (1, 4, [0, 2]),
    ]
    assert len(questions([np.arange(90)], seed=0, most=7)) == 7
    with pytest.raises(LetheError, match="person 1 has 1 items"):
        questions([np.array([1, 2]), np.array([5, 5])], seed=0)


def test_a_logit_by_hand():
    """Rivals of item 0 are items 2 and 3 with scores 1 and 3: mean 2, spread 1, so that item 0's 4 stands at 2."""

    class Fixed:
        def scores(self, histories):
            return np.array([[4, 100, 1, 3], [100, 4, 1, 3]], dtype=np.float32)

    asked = questions([np.array([0, 1])], seed=0)
    expected = 2 - np.log(np.exp(-1) + np.exp(1))
    assert logits(Fixed(), asked) == pytest.approx([expected, expected])


def test_what_is_flat_but_for_rounding_is_no_memory():
    """A person whose items nobody else met: of such scores an exact update leaves the last digits alone."""

    class Rounded:
        def scores(self, histories):
            return np.array([[4, 100, 1, 3], [7e-15, 0, 2e-17, -1e-17]], dtype=np.float32)

    asked = questions([np.array([0, 1]), np.array([0, 1])], seed=0)
    asked = type(asked)(asked.owner[[0, 2]], np.array([0, 0]), [np.array([1]), np.array([1])])
    assert logits(Rounded(), asked)[1] == pytest.approx(-np.log(2))


# The canaries.


def test_planted_people_meet_the_same_unpopular_items_and_can_be_left_out():
    log, counts = PLANTED.log, np.bincount(LOG.item, minlength=120)
    assert len(log.users) == 80 + 18
    assert len(set(log.users)) == 98
    assert log.users[:80] == LOG.users
    histories = [set(log.histories()[person].tolist()) for person in PLANTED.people]
    assert [len(h) for h in histories] == [5] * 18
    assert all(histories[n] == histories[3 * (n // 3)] for n in range(18))
    met = set.union(*histories)
    assert len(met) == 30
    assert max(counts[list(met)]) <= min(counts[sorted(set(range(120)) - met)])
    nobody = PLANTED.only(np.zeros(6, dtype=np.bool_))
    assert (nobody.user.tolist(), nobody.item.tolist()) == (LOG.user.tolist(), LOG.item.tolist())
    assert set(PLANTED.only(np.arange(6) == 2).user) - set(LOG.user) == set(PLANTED.people[6:9])
    again = canaries.plant(LOG, 6, seed=0, items=5, copies=3).log
    assert (again.users, again.item.tolist()) == (log.users, log.item.tolist())


def test_more_canaries_than_unpopular_items_are_refused():
    with pytest.raises(LetheError, match="need 35 unpopular items and there are 30"):
        canaries.plant(LOG, 7, seed=0, items=5)
    with pytest.raises(LetheError, match="81 canaries"):
        canaries.pick(LOG, 81, seed=0)


def test_every_canary_is_in_half_of_the_shadows_and_every_shadow_has_a_mirror_image():
    held = membership.trial(PEOPLE, seed=0, shadows=20)
    assert held.present.sum(axis=0).tolist() == [10] * 12
    assert held.present.sum(axis=1).tolist() == [6] * 20
    assert (held.present[::2] != held.present[1::2]).all()
    for shadows in (14, 17):
        with pytest.raises(LetheError, match="an even number of at least 16"):
            membership.trial(PEOPLE, seed=0, shadows=shadows)


# The likelihood ratio.


def test_a_ratio_by_hand():
    """Without its own pair of shadows: in 2, 4 and out 0, 2, so spread² = 4/2 and the ratio is (x - 2)·(3 - 1)/2."""
    member = np.array([[1], [0]] * 3, dtype=np.bool_)
    known = np.array([[9.0], [-9.0], [2.0], [0.0], [4.0], [2.0]])
    got = membership.likelihood_ratios(known, known, member)
    assert got[:2, 0] == pytest.approx([7.0, -11.0], abs=1e-2)


def test_without_memory_the_ratios_tell_nothing_on_average():
    rng = np.random.default_rng(0)
    member = np.repeat(np.array([[1], [0]] * 8, dtype=np.bool_), 4000, axis=1)
    noise = rng.normal(size=member.shape) * rng.gamma(1.0, size=4000)
    ratios = membership.likelihood_ratios(noise, noise, member)
    auc, tpr = reached(evidence(ratios.ravel(), member.ravel()))
    assert auc == pytest.approx(0.5, abs=0.006)
    assert tpr == pytest.approx(0.01, abs=0.003)


# The audit.


def test_a_model_that_remembers_everything_is_found_and_its_retraining_is_not():
    found = audited(membership.trial(PEOPLE, seed=0), lookup, retrained)
    assert found.before.auc.mean > 0.99
    assert found.before.tpr.mean > 0.95
    assert found.after.auc.low <= 0.5 <= found.after.auc.high
    for verdict in found.verdicts():
        assert (verdict.void, verdict.passed) == (False, True)
        assert verdict.oracle == pytest.approx(verdict.value, abs=0.1)


def half_kept(_model, before, after, seed):
    """Forgets every other person only."""
    gone = np.setdiff1d(before.user, after.user)
    return lookup(before.take(~np.isin(before.user, gone[::2])), seed)


def overdone(_model, before, after, seed):
    """Pushes the forgotten below everybody who never was there."""
    gone = before.take(~np.isin(before.user, after.user))
    return Lookup(after, minus=gone, noise=0.1, seed=seed)


@pytest.mark.parametrize("forget", [kept, half_kept, overdone])
def test_a_method_that_leaves_a_trace_is_caught(forget):
    found = audited(membership.trial(PEOPLE, seed=0), lookup, forget)
    assert [(v.void, v.passed) for v in found.verdicts()] == [(False, False)] * 2
    assert found.after.auc.low > found.oracle.auc.high


def test_a_model_that_never_saw_anything_gives_a_half_and_is_too_weak_to_audit():
    found = audited(membership.trial(PEOPLE, seed=0), Blank, kept)
    assert found.before.auc.low <= 0.5 <= found.before.auc.high
    assert found.too_weak
    for verdict in found.verdicts():
        assert (verdict.void, verdict.passed) == (True, False)
        assert "memorisation too weak to audit" in verdict.detail


def test_an_oracle_that_knows_the_rows_is_void_not_a_wide_limit():
    logs = []

    def cheating(log, seed):
        logs.append(log)
        return lookup(logs[len(logs) // 2 * 2 - 2] if len(logs) % 2 == 0 else log, seed)

    found = audited(membership.trial(PEOPLE, seed=0), cheating, kept)
    assert found.oracle_leaks
    assert all(verdict.void and "the oracle gives people away" in verdict.detail for verdict in found.verdicts())


def test_an_oracle_that_knows_some_rows_is_void_although_the_control_stands_out():
    def span(mean):
        return Interval(mean, mean - 0.01, min(1.0, mean + 0.01))

    strong, leaking, honest = Attack(span(1.0), span(1.0)), Attack(span(0.8), span(0.5)), Attack(span(0.51), span(0.01))
    assert all(v.void for v in membership.Membership(strong, leaking, leaking, shadows=16, pairs=9).verdicts())
    assert all(v.passed for v in membership.Membership(strong, honest, honest, shadows=16, pairs=9).verdicts())


def removed(model, before, after, _seed):
    pairs = zip(before.histories(), after.histories(), strict=True)
    return downdate(model, [Change(old, new) for old, new in pairs])


def test_ease_remembers_planted_canaries_and_its_downdate_forgets_them():
    held = membership.trial(PLANTED, seed=0)
    found = audited(held, canaries.ease_by_downdate(PLANTED.log, RIDGE), removed)
    auc, tpr = found.verdicts()
    assert auc.control > 0.95
    assert (auc.value, auc.limit, auc.oracle) == (0.5, 0.5, 0.5)
    assert auc.passed
    assert tpr.passed


def test_shadows_by_downdate_are_shadows_by_training():
    present = np.arange(6) % 2 == 0
    asked = PLANTED.questions(seed=0)
    log = PLANTED.only(present)
    quick = canaries.ease_by_downdate(PLANTED.log, RIDGE)(log, 0)
    assert logits(quick, asked) == pytest.approx(logits(EaseFitter(RIDGE).fit(log), asked), abs=1e-4)
    with pytest.raises(ValueError, match="without whole people"):
        canaries.ease_by_downdate(LOG, RIDGE)(LOG.take(np.arange(len(LOG)) > 0), 0)


def test_results_of_shadows_are_functions_of_their_number():
    held = membership.trial(PEOPLE, seed=0)
    assert (held.run(3, lookup, retrained) == held.run(3, lookup, retrained)).all()
    assert (held.run(3, lookup, retrained) != held.run(4, lookup, retrained)).any()
    with pytest.raises(ValueError, match="this trial needs"):
        membership.combine(held, np.zeros((15, 3, len(held.asked))), seed=0)
