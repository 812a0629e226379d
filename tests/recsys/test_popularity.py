import numpy as np
import pytest

from recsys.popularity import PopularityFitter
from tests.contracts.backbone import ITEMS, NONE, USERS, BackboneContract
from tests.recsys.toy import camps, log_of


class TestPopularity(BackboneContract):
    name = "popularity"

    @pytest.fixture(scope="class")
    def fitted(self):
        return PopularityFitter().fit(camps(USERS, ITEMS))


def test_it_counts_people_not_rows():
    model = PopularityFitter().fit(log_of([(0, 1), (0, 1), (0, 1), (1, 2), (2, 2)], 3, 4))
    assert model.counts.tolist() == [0, 1, 2, 0]


def test_people_without_history_are_served_and_marked():
    model = PopularityFitter().fit(log_of([(0, 1), (1, 2), (2, 2)], 3, 4))
    first, second = model.fallback([NONE, np.array([2])], 2)
    assert first.rows.tolist() == [2, 1]
    assert second.rows.tolist() == [1, 0]
    assert set(first.origin) == {"popularity"}
