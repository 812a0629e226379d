"""Who holds two generations learns who was forgotten, unless nothing but chance lies between them."""

import numpy as np
import pytest

from db.errors import LetheError
from recsys.ease import EaseFitter, EaseSettings
from recsys.vectors import ItemVectors
from tests.recsys.toy import camps
from tests.unlearning.memories import Blank, Lookup
from unlearning.audit.questions import questions
from unlearning.audit.versions import Generations, Lineup, lost_fit, moved_items, own_fit, verdict

LOG = camps(users=60, items=80, each=10, seed=3)
GONE = np.arange(60) % 5 == 0
LEFT = LOG.take(~GONE[LOG.user])
LINEUP = Lineup(LOG.histories(), GONE)


def lookup(log, seed):
    return Lookup(log, noise=0.1, seed=seed)


def audited(old, new, control, oracles):
    return verdict(LINEUP, Generations((old, new), oracles, control), seed=0, draws=300)


ORACLES = [lookup(LEFT, seed) for seed in (11, 12, 13)]
SAME_SEED = (lookup(LOG, 1), lookup(LEFT, 1))


def test_a_retraining_with_the_same_seed_gives_everybody_away():
    found = audited(*SAME_SEED, SAME_SEED, ORACLES)
    assert (found.void, found.passed) == (False, False)
    assert found.value > 0.9
    assert found.control == pytest.approx(found.value, abs=1e-3)
    assert 0.5 < found.limit < 0.75
    assert found.oracle == pytest.approx(0.5, abs=0.1)


def test_a_fresh_seed_does_not_hide_what_the_old_generation_remembers():
    found = audited(lookup(LOG, 1), lookup(LEFT, 2), SAME_SEED, ORACLES)
    assert (found.void, found.passed) == (False, False)
    assert float(found.detail.split("unavoidable ")[1][:5]) == pytest.approx(found.value, abs=0.02)
    assert "what protects is that the old generation is destroyed" in found.detail


def test_two_models_that_never_saw_the_people_give_nobody_away():
    found = audited(Blank(LEFT, 1), Blank(LEFT, 2), SAME_SEED, ORACLES)
    assert found.passed
    assert found.value == pytest.approx(0.5, abs=found.limit - 0.5)


def test_void_where_the_control_gives_nobody_away():
    found = audited(Blank(LEFT, 1), Blank(LEFT, 2), (Blank(LEFT, 3), Blank(LEFT, 4)), ORACLES)
    assert (found.void, found.passed) == (True, False)


def test_an_exact_downdate_of_ease_shows_the_difference_and_the_verdict_says_so():
    settings = EaseSettings(5.0)
    old, new = EaseFitter(settings).fit(LOG), EaseFitter(settings).fit(LOG)
    new.remove([history for history, gone in zip(LOG.histories(), GONE, strict=True) if gone])
    found = audited(old, new, (old, new), [EaseFitter(settings).fit(LEFT) for _ in range(3)])
    assert found.value > 0.95
    assert (found.limit, found.oracle) == (0.5, 0.5)
    assert not found.void
    assert "necessarily shows the difference" in found.detail
    assert "the old one is destroyed" in found.detail
    assert f"unavoidable {found.value:.3f}" in found.detail


def vectors(table):
    items = LOG.items[: len(table)]
    return ItemVectors("bpr", items, table.astype(np.float32), table.astype(np.float32))


def test_a_rotation_of_the_item_table_is_no_movement_and_a_moved_item_is_seen():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(80, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert moved_items(vectors(table), vectors(table @ turn), LINEUP.histories) == pytest.approx(np.zeros(60), abs=1e-5)
    pushed = table.copy()
    pushed[7] += 0.5
    suspicion = moved_items(vectors(table), vectors(pushed @ turn), LINEUP.histories)
    met = np.array([7 in history for history in LINEUP.histories])
    assert suspicion[met].min() > 2 * suspicion[~met].max()
    assert moved_items(Blank(LEFT, 0), Blank(LEFT, 1), LINEUP.histories).tolist() == [0.0] * 60


class Fixed:
    """Scores of eight items that do not depend on the history."""

    def __init__(self, *scores):
        self._scores = np.array(scores, dtype=np.float32)

    def scores(self, histories):
        return np.tile(self._scores, (len(histories), 1))


def test_own_fit_by_hand():
    """Rivals are items 4 to 7 with mean 0 and spread 1, so that the logits are the scores less log(2e + 2/e)."""
    asked = questions([np.array([0, 1, 2, 3])], seed=0)
    assert own_fit(Fixed(1, 2, 3, 6, 1, -1, 1, -1), asked) == pytest.approx([3 - np.log(2 * np.e + 2 / np.e)])


def test_lost_fit_is_what_a_change_of_scale_does_not_explain():
    lost = lost_fit(lookup(LOG, 1), lookup(LEFT, 1), LINEUP.histories)
    assert np.median(lost[GONE]) > np.median(lost[~GONE]) + 1
    again = lost_fit(lookup(LEFT, 1), lookup(LOG, 1), LINEUP.histories)
    assert again == pytest.approx(-lost)
    fit = np.random.default_rng(0).normal(size=50)
    told = lost_fit(Told(fit), Told(3 * fit + 7), [np.array([0, 1])] * 50)
    assert told == pytest.approx(np.zeros(50), abs=1e-5)


class Told:
    """Gives each person, asked twice, the fit it is told."""

    def __init__(self, fit):
        self._own = np.repeat(fit, 2)

    def scores(self, histories):
        return np.stack([[own, own, 1, -1] for own in self._own]).astype(np.float32)


def test_too_few_people_are_refused():
    with pytest.raises(LetheError, match="4 forgotten and 56 other people"):
        Lineup(LINEUP.histories, np.arange(60) < 4)
    with pytest.raises(LetheError, match="31 forgotten and 29 other people"):
        Lineup(LINEUP.histories, np.arange(60) < 31)
    with pytest.raises(ValueError, match="2 oracles"):
        audited(*SAME_SEED, SAME_SEED, ORACLES[:2])
