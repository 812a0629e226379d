import numpy as np
import pytest

from tests.recsys.toy import log_of
from unlearning.data.pairwise import PairwiseLoss, Triples, draw, same, stays
from unlearning.data.remaining import merged, remaining

PAIRS = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 3), (2, 4)]
LOG = log_of(PAIRS, 3, 6)
AFTER = LOG.take(~np.isin(np.arange(6), [1, 5]))
"""Person 0 forgets item 1 and keeps two, person 1 keeps all, person 2 forgets the only one."""


def every(log):
    """Each pair with every item not met, which weigh 1 together: what an epoch draws, in expectation."""
    met = [set(h.tolist()) for h in log.histories()]
    rows = [(u, i, j, 1 / (6 - len(m))) for u, m in enumerate(met) for i in sorted(m) for j in range(6) if j not in m]
    user, item, other, weight = (np.array(column) for column in zip(*rows, strict=True))
    return Triples(user, item, other, weight, np.ones(len(user)))


def by_triple(triples):
    found = {}
    for u, i, j, w in zip(triples.user, triples.item, triples.other, triples.weight, strict=True):
        found[int(u), int(i), int(j)] = found.get((int(u), int(i), int(j)), 0.0) + w
    return found


def test_what_is_left_is_what_an_epoch_on_the_rest_draws_by_enumeration():
    before, wanted = every(LOG), by_triple(every(AFTER))
    draws = [by_triple(remaining(before, stays(before, AFTER), items=6, seed=seed)) for seed in range(3000)]
    assert {key for one in draws for key in one} == set(wanted)
    mean = {key: np.mean([one.get(key, 0.0) for one in draws]) for key in wanted}
    assert mean == pytest.approx(wanted, abs=0.01)
    assert mean[0, 0, 1] > 0.2  # the forgotten item is one not met


def test_the_gradient_is_that_of_a_fresh_draw_on_the_rest_and_that_of_mere_removal_is_not():
    theta = np.random.default_rng(0).normal(size=(9, 3))

    def gradient(triples):
        return PairwiseLoss(triples, 3, same, 1.0).at(theta).gradient()

    drawn = draw(LOG, negatives=20_000, seed=1)
    kept = stays(drawn, AFTER)
    oracle = gradient(every(AFTER))
    assert gradient(remaining(drawn, kept, items=6, seed=2)) == pytest.approx(oracle, abs=0.03)
    assert np.abs(gradient(drawn.take(kept)) - oracle).max() > 0.1


def test_where_nothing_goes_nothing_changes_and_whoever_forgets_all_is_gone():
    drawn = draw(LOG, negatives=2, seed=1)
    whole = remaining(drawn, np.ones(len(drawn.user), bool), items=6, seed=0)
    assert np.array_equal(whole.other, drawn.other)
    assert np.array_equal(whole.weight, drawn.weight)
    rest = remaining(drawn, stays(drawn, AFTER), items=6, seed=0)
    assert 2 not in rest.user
    assert (np.diff(rest.user) >= 0).all()


def test_merged_triples_keep_their_company():
    one, other = (draw(LOG, negatives=n, seed=n).scaled(n) for n in (1, 3))
    both, apart = by_triple(merged(one, other)), by_triple(one)
    for key, weight in by_triple(other).items():
        apart[key] = apart.get(key, 0.0) + weight
    assert both == pytest.approx(apart)
