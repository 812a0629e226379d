"""The thin ones through the conformance suite: retrain, downdate, shield and the control."""

import numpy as np
import pytest

from recsys import ease
from recsys.ease import EaseFitter
from tests.contracts.unlearner import GONE, PARTLY, ExactContract, UnlearnerContract, after, before
from unlearning.data.downdate import Downdated, changes
from unlearning.data.kept import no_forgetting, shielded
from unlearning.data.retrain import Retrain


class TestRetrain(ExactContract):
    name = "retrain"

    def unlearner(self, fit):
        return Retrain(fit)


class TestDowndate(ExactContract):
    name = "downdate"
    tolerance = 1e-5

    @staticmethod
    def fit(log):
        return EaseFitter().fit(log)

    def unlearner(self, fit):
        return Downdated(fit)

    def test_where_digits_would_be_lost_the_model_is_fitted_again_and_says_so(self, subject, spy, monkeypatch):
        log = before()
        model = subject.fit(log, seed=1)
        spy.logs.clear()
        monkeypatch.setattr(ease, "MAX_UPDATES", 1)
        done = subject.forget(model, log, after(log), seed=2)
        assert (done.exact, done.facts["refitted"]) == (True, 1)
        assert [len(given) for given in spy.logs] == [len(after(log))]


class TestShield(UnlearnerContract):
    name = "shield"
    exact = False
    keeps_model = True

    def unlearner(self, fit):
        return shielded(fit)


class TestNoForgetting(UnlearnerContract):
    name = "none"
    exact = False
    keeps_model = True

    def unlearner(self, fit):
        return no_forgetting(fit)


@pytest.mark.parametrize(("make", "served"), [(shielded, "after"), (no_forgetting, "before")])
def test_a_kept_model_says_whose_histories_are_served(make, served):
    from tests.contracts.unlearner import quick_fit

    subject, log = make(quick_fit), before()
    model = subject.fit(log, seed=1)
    done = subject.forget(model, log, after(log), seed=2)
    assert done.model is model
    assert done.facts["served_from"] == served == subject.served_from


def test_changes_are_the_people_who_lost_rows():
    log = before()
    moved = changes(log, after(log))
    assert len(moved) == len(GONE) + 1
    assert sorted(len(change.after) for change in moved) == [0, 0, 0, 4]
    assert np.isin(moved[1].after, log.item[log.user == PARTLY]).all()
