"""What every backbone keeps. A test class inherits `BackboneContract` and fits its backbone in `fitted`."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from recsys.candidates import VectorBackbone
from recsys.ids import ItemRows

NONE = np.zeros(0, dtype=np.int64)
USERS, ITEMS = 61, 40
"""No item tensor of a backbone fitted on this log may have a dimension of `USERS`."""


class BackboneContract:
    """Conformance suite; `fitted` gives a backbone fitted on `tests.recsys.toy.camps(USERS, ITEMS)`."""

    name: str

    @pytest.fixture(scope="class")
    def fitted(self):
        raise NotImplementedError

    def test_it_says_its_name_and_settings(self, fitted):
        assert fitted.name == self.name
        assert fitted.settings()["backbone"] == self.name
        assert len(fitted.items) == ITEMS

    def test_scores_are_dense_float32_and_finite(self, fitted):
        scores = fitted.scores([np.array([0, 2]), np.array([5]), np.arange(ITEMS)])
        assert scores.shape == (3, ITEMS)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_no_people_give_no_lists(self, fitted):
        assert fitted.scores([]).shape == (0, ITEMS)
        assert fitted.candidates([], [], 5) == []

    def test_lists_are_full_sorted_and_match_the_scores(self, fitted):
        history = np.array([0, 4, 6])
        (found,) = fitted.candidates([history], [history], 10)
        assert len(found) == 10
        assert set(found.origin) == {"backbone"}
        dense = fitted.scores([history])[0]
        assert found.scores == pytest.approx(dense[found.rows])
        assert (np.diff(found.scores) <= 0).all()
        left_out = np.setdiff1d(np.arange(ITEMS), np.concatenate([found.rows, history]))
        assert dense[left_out].max() <= found.scores.min() + 1e-6

    @pytest.mark.parametrize("k", [1, 7, ITEMS, 5 * ITEMS])
    def test_exclusion_is_honoured_and_lists_stay_full(self, fitted, k):
        history, banned = np.array([1, 3]), np.arange(0, 30)
        (found,) = fitted.candidates([history], [banned], k)
        assert not np.isin(found.rows, banned).any()
        assert len(found) == min(k, 10)

    def test_everything_excluded_leaves_an_empty_list(self, fitted):
        (found,) = fitted.candidates([np.array([1])], [np.arange(ITEMS)], 5)
        assert len(found) == 0

    def test_an_empty_history_gets_an_empty_list_among_others(self, fitted):
        found = fitted.candidates([np.array([2]), NONE, np.array([3])], [NONE, NONE, NONE], 4)
        assert [len(c) for c in found] == [4, 0, 4]

    def test_a_list_does_not_depend_on_who_else_is_asked(self, fitted):
        histories = [np.array([0, 2, 8]), np.array([1]), np.array([3, 5, 7, 9])]
        together = fitted.scores(histories)
        alone = np.concatenate([fitted.scores([h]) for h in histories])
        assert together == pytest.approx(alone, abs=1e-5)

    def test_a_repeated_item_in_a_history_counts_once(self, fitted):
        once, twice = fitted.scores([np.array([0, 2]), np.array([0, 2, 2, 0])])
        assert once == pytest.approx(twice, abs=1e-6)

    def test_saving_and_loading_change_nothing(self, fitted, tmp_path: Path):
        fitted.save(tmp_path)
        again = type(fitted).load(tmp_path)
        histories = [np.array([0, 2, 8]), np.array([1])]
        assert np.array_equal(again.scores(histories), fitted.scores(histories))
        assert again.items == fitted.items
        assert again.settings() == fitted.settings()

    def test_the_files_hold_item_tensors_and_ids_only(self, fitted, tmp_path: Path):
        fitted.save(tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["ids.parquet", "item.safetensors"]
        with safe_open(tmp_path / "item.safetensors", framework="numpy") as tensors:
            shapes = {key: tensors.get_slice(key).get_shape() for key in tensors.keys()}  # noqa: SIM118
        assert shapes
        assert all(USERS not in shape and USERS + 1 not in shape for shape in shapes.values())
        assert len(ItemRows.load(tmp_path)) == ITEMS

    def test_vectors_where_offered_give_the_scores(self, fitted):
        if not isinstance(fitted, VectorBackbone):
            return
        histories = [np.array([0, 2, 8]), np.array([1])]
        users = fitted.user_vectors(histories)
        assert users @ fitted.item_vectors.T == pytest.approx(fitted.scores(histories), abs=1e-5)
        assert not fitted.user_vectors([NONE]).any()
