import numpy as np
import pytest

from db.errors import LetheError
from recsys.vectors import SHRINKAGE, ItemVectors, fold_map, fold_vectors, folded, found_map
from tests.contracts.backbone import ITEMS, USERS, BackboneContract
from tests.recsys.toy import camps, log_of


class TestItemVectors(BackboneContract):
    name = "bpr"

    @pytest.fixture(scope="class")
    def fitted(self):
        rng = np.random.default_rng(0)
        log = camps(USERS, ITEMS)
        items = rng.normal(size=(ITEMS, 6)).astype(np.float32)
        return ItemVectors("bpr", log.items, items, fold_vectors(log, rng.normal(size=(USERS, 6)), items))


def test_a_history_is_the_mean_of_its_fold_vectors_by_hand():
    items = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    folds = np.array([[2, 0], [0, 4], [6, 6]], dtype=np.float32)
    model = ItemVectors("bpr", ("a", "b", "c"), items, folds)
    users = model.user_vectors([np.array([0, 1]), np.array([2]), np.array([], dtype=np.int64)])
    assert users.tolist() == [[1, 2], [6, 6], [0, 0]]
    assert model.scores([np.array([0, 1])]).tolist() == [[1, 2, 3]]


def test_the_map_is_the_ridge_regression_of_user_rows_on_mean_unit_vectors():
    rng = np.random.default_rng(1)
    log = log_of([(0, 0), (0, 1), (1, 1), (2, 2), (2, 0), (2, 1)], 4, 3)
    items = rng.normal(size=(3, 2)).astype(np.float32)
    rows = rng.normal(size=(4, 2))
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    means = np.stack([unit[[0, 1]].mean(0), unit[1], unit[[0, 1, 2]].mean(0)])
    ridge = SHRINKAGE * np.trace(means.T @ means) / 2
    padded = np.vstack([means, np.sqrt(ridge) * np.eye(2)])
    carry = np.linalg.lstsq(padded, np.vstack([rows[:3], np.zeros((2, 2))]), rcond=None)[0]
    assert fold_vectors(log, rows, items) == pytest.approx(unit @ carry, abs=1e-6)


def test_rows_that_are_a_map_of_the_means_are_recovered():
    rng = np.random.default_rng(2)
    log = camps(200, ITEMS)
    items = rng.normal(size=(ITEMS, 4)).astype(np.float32)
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    means = np.stack([unit[np.unique(h)].mean(0) for h in log.histories()])
    rows = means @ rng.normal(size=(4, 4))
    model = ItemVectors("bpr", log.items, items, fold_vectors(log, rows, items))
    assert np.corrcoef(model.user_vectors(log.histories()).ravel(), rows.ravel())[0, 1] > 0.999


def test_people_without_rows_do_not_move_the_map():
    rng = np.random.default_rng(3)
    pairs = [(u, i) for u in range(5) for i in range(u, u + 3)]
    items = rng.normal(size=(8, 3)).astype(np.float32)
    rows = rng.normal(size=(5, 3))
    alone = fold_vectors(log_of(pairs, 5, 8), rows, items)
    with_strangers = fold_vectors(log_of(pairs, 7, 8), np.vstack([rows, np.full((2, 3), 99.0)]), items)
    assert np.array_equal(alone, with_strangers)


def test_vectors_that_are_not_finite_are_refused():
    bad = np.array([[np.nan]], dtype=np.float32)
    with pytest.raises(LetheError, match="smaller learning rate"):
        ItemVectors("bpr", ("a",), bad, bad)


def test_an_item_that_nobody_met_maps_nobody_and_the_map_is_found_from_the_others():
    log = log_of([(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 3), (3, 2)], 4, 6)
    rng = np.random.default_rng(2)
    items, rows = rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    folds = fold_vectors(log, rows, items)
    assert not folds[4:].any()
    assert folds[:4].any(axis=1).all()
    model = ItemVectors("bpr", log.items, items, folds)
    assert found_map(model) == pytest.approx(fold_map(log, rows, items), abs=1e-5)
    assert np.array_equal(folded(log, items, fold_map(log, rows, items)), folds)
