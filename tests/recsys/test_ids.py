import numpy as np
import pytest

from db.errors import LetheError
from recsys.ids import ItemRows


def test_ids_and_rows_are_each_others_inverse(tmp_path):
    catalogue = ItemRows(("b", "a", "10", "Ünï"))
    assert catalogue.rows(["10", "b", "unknown"]).tolist() == [2, 0]
    assert catalogue.at(np.array([3, 1])) == ("Ünï", "a")
    catalogue.save(tmp_path)
    assert ItemRows.load(tmp_path) == catalogue


def test_a_repeated_id_is_refused():
    with pytest.raises(LetheError, match="twice"):
        ItemRows(("a", "a"))


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(LetheError, match="trained again"):
        ItemRows.load(tmp_path)
