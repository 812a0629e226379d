"""Retraining never shares a seed with the generation it replaces."""

import numpy as np
import pytest

from db.log import InteractionLog
from recsys.popularity import PopularityFitter
from unlearning.data.retrain import retrain

NOBODY = np.zeros(0, dtype=np.int64)
LOG = InteractionLog((), (), NOBODY, NOBODY, NOBODY, NOBODY.astype(np.float32), NOBODY.astype(np.uint8))


def test_the_seed_of_the_previous_generation_is_refused():
    with pytest.raises(ValueError, match="needs a fresh one"):
        retrain(lambda log, seed: PopularityFitter().fit(log), LOG, seed=7, previous=7)


@pytest.mark.parametrize("previous", [None, 8])
def test_the_fit_gets_the_survivors_and_the_seed(previous):
    given = []

    def fit(log, seed):
        given.append((log, seed))
        return PopularityFitter().fit(log)

    retrain(fit, LOG, seed=7, previous=previous)
    assert given == [(LOG, 7)]
