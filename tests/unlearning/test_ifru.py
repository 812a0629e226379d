from dataclasses import replace

import numpy as np
import pytest

from db.errors import LetheError
from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS
from tests.contracts.unlearner import UnlearnerContract
from tests.recsys.toy import camps, log_of
from unlearning.data.ifru import ifru, important, spilling
from unlearning.data.influence import Case, InfluenceSettings, InfluenceUnlearner
from unlearning.data.pairwise import Propagation, draw, same, stays

SMALL = {"dimension": 4, "batch": 64, "epochs": 10, "learning_rate": 0.05}
BPR = replace(BPR_SETTINGS, **SMALL)
LIGHTGCN = replace(LIGHTGCN_SETTINGS, **SMALL)


class TestIfru(UnlearnerContract):
    name = "ifru"
    exact = False

    def unlearner(self, fit):
        def told(log, seed, progress):
            progress(1, 1)
            return fit(log, seed)

        return InfluenceUnlearner(self.name, told, 0, spilling(), InfluenceSettings())


def case_of(log, after, old=same, new=same):
    triples = draw(log, negatives=1, seed=1)
    return Case(log, after, triples, stays(triples, after), old, new, 1.0)


def path():
    """u0 - i0 - u1 - i1 - u2 - i2, and u3 - i3 apart; users are nodes 0 to 3, items 4 to 7."""
    log = log_of([(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 3)], 4, 4)
    return log, log.take(np.arange(6) != 0)


def test_whole_rings_are_the_neighbours_of_each_order_by_hand():
    case = case_of(*path())
    assert important(case, (1.0,)).tolist() == [0, 4]
    assert important(case, (1.0, 1.0)).tolist() == [0, 1, 4]
    assert important(case, (1.0, 1.0, 1.0)).tolist() == [0, 1, 4, 5]
    assert important(case, (1.0,) * 9).tolist() == [0, 1, 2, 4, 5, 6]


def test_a_share_keeps_the_nodes_that_most_forgotten_pairs_lead_to():
    # items 0 and 1 lose a pair each; user 1 has met both, users 2 and 3 one of them
    log = log_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 1), (4, 2)], 5, 3)
    case = case_of(log, log.take(log.user != 0))
    assert important(case, (1.0,)).tolist() == [0, 5, 6]
    assert important(case, (1.0, 0.3)).tolist() == [0, 1, 5, 6]
    assert important(case, (1.0, 0.5)).tolist() == [0, 1, 2, 5, 6]
    assert important(case, (1.0, 1.0)).tolist() == [0, 1, 2, 3, 5, 6]


def test_pruned_rows_keep_their_bits():
    log = camps(40, 30, 6)
    method = ifru(BPR, shares=(1.0, 0.2))
    model = method.fit(log, seed=1)
    gone = log.user == 5
    outcome = method.forget(model, log, log.take(~gone), seed=2)
    rows = important(case_of(log, log.take(~gone)), (1.0, 0.2))
    moved = np.flatnonzero((outcome.model.item_vectors != model.item_vectors).any(axis=1))
    assert np.array_equal(moved, rows[rows >= 40] - 40)
    assert outcome.facts["touched_rows"] == len(rows)
    assert outcome.facts["pruned_rows"] == 70 - len(rows)


def test_on_a_graph_the_force_reaches_neighbours_of_the_forgotten_and_no_stranger():
    log, after = path()
    case = case_of(log, after, Propagation(log, 2), Propagation(after, 2))
    theta = np.random.default_rng(0).normal(size=(8, 3))
    kept = case.triples.take(case.kept)
    spillover = case.loss(kept, case.old).at(theta).gradient() - case.loss(kept, case.new).at(theta).gradient()
    assert np.abs(spillover[1]).max() > 1e-3
    without_a_graph = case_of(log, after)
    kept = without_a_graph.triples.take(without_a_graph.kept)
    unmoved = (
        without_a_graph.loss(kept, same).at(theta).gradient() - without_a_graph.loss(kept, same).at(theta).gradient()
    )
    assert not unmoved.any()


def test_served_vectors_are_those_of_the_survivors_graph():
    log = camps(40, 30, 6)
    method = ifru(LIGHTGCN)
    model = method.fit(log, seed=1)
    after = log.take(log.user != 5)
    outcome = method.forget(model, log, after, seed=2)
    # Item vectors need user rows, which are gone; between items alone the graph has two-step paths only.
    rows = np.concatenate([np.zeros((40, 4)), outcome.model.ego_vectors])
    unseen = np.setdiff1d(np.arange(30), after.item)
    spread = Propagation(after, 2)(rows)[40:]
    assert spread[unseen] == pytest.approx(outcome.model.item_vectors[unseen], abs=1e-6)
    assert not np.array_equal(outcome.model.ego_vectors, model.ego_vectors)


def test_shares_that_cannot_be_kept_are_refused():
    for shares in ((), (0.0,), (1.0, 1.5)):
        with pytest.raises(LetheError, match="above 0 and up to 1"):
            ifru(BPR, shares=shares)
