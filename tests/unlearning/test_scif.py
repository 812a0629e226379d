from dataclasses import replace

import numpy as np
import pytest

from db.errors import LetheError
from recsys.recbole_models import BPR_SETTINGS
from tests.contracts.unlearner import UnlearnerContract
from tests.recsys.toy import camps, log_of
from unlearning.data.influence import Case, InfluenceSettings, InfluenceUnlearner
from unlearning.data.pairwise import draw, same, stays
from unlearning.data.scif import crowd, labelled, scif, selective

BPR = replace(BPR_SETTINGS, dimension=4, batch=64, epochs=10, learning_rate=0.05)


class TestScif(UnlearnerContract):
    name = "scif"
    exact = False

    def unlearner(self, fit):
        def told(log, seed, progress):
            progress(1, 1)
            return fit(log, seed)

        return InfluenceUnlearner(self.name, told, 0, selective(), InfluenceSettings())


def case_of(log, after):
    triples = draw(log, negatives=1, seed=1)
    return Case(log, after, triples, stays(triples, after), same, same, 1.0)


def test_the_crowd_is_the_share_of_an_item_among_the_survivors_by_hand():
    log = log_of([(0, 0), (1, 0), (2, 0), (2, 1), (3, 2), (3, 2)], 4, 4)
    case = case_of(log, log.take(np.arange(6) != 0))
    met = np.array([3, 2, 2, 1])  # two survivors of item 0, one of 1, one of 2 (twice), none of 3; each once more
    expected = [met[i] / (met[i] + met[j]) for i, j in zip(case.triples.item, case.triples.other, strict=True)]
    assert crowd(case) == pytest.approx(expected)


def test_only_the_users_and_items_of_forgotten_pairs_move():
    log = camps(40, 30, 6)
    method = scif(BPR)
    model = method.fit(log, seed=1)
    gone = np.isin(log.user, [5]) | ((log.user == 6) & (np.cumsum(log.user == 6) == 1))
    outcome = method.forget(model, log, log.take(~gone), seed=2)
    theirs = np.unique(log.item[gone])
    moved = np.flatnonzero((outcome.model.item_vectors != model.item_vectors).any(axis=1))
    assert np.array_equal(moved, theirs)
    assert outcome.facts["touched_rows"] == 2 + len(theirs)
    assert outcome.facts["collaboration"] == 1.0


def test_the_crowds_label_is_mixed_with_removal_by_its_weight():
    log = camps(40, 30, 6)
    case = case_of(log, log.take(np.arange(len(log)) % 9 > 0))
    theta = np.random.default_rng(0).normal(size=(70, 3))
    told, mixed, removed = (case.loss(labelled(case, c), same).at(theta).gradient() for c in (1.0, 0.25, 0.0))
    assert mixed == pytest.approx(0.25 * told + 0.75 * removed, abs=1e-9)
    assert removed == pytest.approx(case.loss(case.remaining(), same).at(theta).gradient(), abs=1e-12)
    assert labelled(case, 1.0).weight.sum() == pytest.approx(len(log))


def test_a_weight_that_is_none_is_refused():
    with pytest.raises(LetheError, match="from 0 to 1"):
        scif(BPR, collaboration=1.5)
