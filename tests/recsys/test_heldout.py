import numpy as np
import pytest

from db.errors import LetheError
from db.records import Split
from recsys.heldout import held_out, served
from recsys.popularity import PopularityFitter
from tests.recsys.toy import log_of


def questions(target):
    pairs = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 0), (2, 3), (2, 0)]
    split = [0, 0, 1, 2, 0, 2, 2, 1]
    return held_out(log_of(pairs, 4, 5, split), target)


def test_history_is_train_and_exclusion_adds_validation_for_test():
    asked = questions(Split.TEST)
    assert asked.people.tolist() == [0, 2]
    assert [h.tolist() for h in asked.histories] == [[0, 1], []]
    assert [e.tolist() for e in asked.exclude] == [[0, 1, 2], [0]]
    assert [r.tolist() for r in asked.relevant] == [[3], [3]]
    assert asked.warm.tolist() == [True, False]


def test_validation_questions_exclude_the_training_items_only():
    asked = questions(Split.VALID)
    assert asked.people.tolist() == [0, 2]
    assert [e.tolist() for e in asked.exclude] == [[0, 1], []]
    assert [r.tolist() for r in asked.relevant] == [[2], [0]]


def test_cold_people_are_never_scored_by_a_backbone():
    asked = questions(Split.TEST)
    model = PopularityFitter().fit(log_of([(0, 3)], 1, 5))
    with pytest.raises(LetheError, match="1 people have no history"):
        served(model, asked, 3)
    assert served(model, asked.take(asked.warm), 3).ndcg == pytest.approx([1.0])
    assert np.array_equal(asked.take(asked.warm).people, [0])
