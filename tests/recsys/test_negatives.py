import numpy as np

from recsys.negatives import NegativeSampler
from tests.recsys.toy import log_of


def test_no_negative_was_met_and_every_other_item_is_drawn():
    log = log_of([(0, 0), (0, 1), (1, 4), (2, 2)], 4, 5)
    users = np.repeat([0, 1, 2, 3], 400)
    drawn = NegativeSampler(log, 0).sample(users)
    by_user = [set(drawn[users == u].tolist()) for u in range(4)]
    assert by_user == [{2, 3, 4}, {0, 1, 2, 3}, {0, 1, 3, 4}, {0, 1, 2, 3, 4}]


def test_who_has_met_everything_still_gets_a_draw():
    log = log_of([(0, 0), (0, 1), (1, 0)], 2, 2)
    drawn = NegativeSampler(log, 0).sample(np.array([0, 1]))
    assert drawn[1] == 1
    assert drawn[0] in (0, 1)


def test_draws_are_uniform_and_follow_the_seed():
    log = log_of([(0, 0)], 1, 5)
    users = np.zeros(8000, dtype=np.int64)
    counts = np.bincount(NegativeSampler(log, 3).sample(users), minlength=5)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 2000).max() < 200
    assert np.array_equal(NegativeSampler(log, 3).sample(users), NegativeSampler(log, 3).sample(users))
