import numpy as np
import pytest

from db.errors import LetheError
from recsys.splits import SplitRecipe, assign

RNG = np.random.default_rng(1)
USER = np.repeat(np.arange(30), np.arange(1, 31))
ITEM = np.concatenate([RNG.choice(50, size=n, replace=False) for n in range(1, 31)])
TIME = RNG.integers(0, 10_000, size=len(USER))


def counts(split, user):
    return np.stack([np.bincount(user[split == code], minlength=30) for code in range(3)])


def test_random_split_gives_each_user_the_shares_and_a_training_row():
    train, valid, test = counts(assign(SplitRecipe(seed=3), USER, ITEM, TIME), USER)
    assert (train >= 1).all()
    assert (train[29], valid[29], test[29]) == (24, 3, 3)
    assert (train[0], valid[0], test[0]) == (1, 0, 0)
    assert (train[1], valid[1], test[1]) == (1, 0, 1)
    assert (train[2], valid[2], test[2]) == (1, 1, 1)
    assert (train[14], valid[14], test[14]) == (13, 1, 1)


def test_random_split_follows_the_rows_whatever_their_order():
    order = RNG.permutation(len(USER))
    split = assign(SplitRecipe(seed=3), USER, ITEM, TIME)
    assert (assign(SplitRecipe(seed=3), USER[order], ITEM[order], TIME[order]) == split[order]).all()
    assert (assign(SplitRecipe(seed=4), USER, ITEM, TIME) != split).any()


def test_a_repeated_pair_is_never_on_both_sides():
    user = np.zeros(40, dtype=np.int64)
    item = np.repeat(np.arange(20), 2)
    split = assign(SplitRecipe(), user, item, np.arange(40))
    assert (split[::2] == split[1::2]).all()
    assert set(split.tolist()) == {0, 1, 2}


def test_ratios_without_validation_leave_it_empty():
    split = assign(SplitRecipe(ratios=(0.8, 0.0, 0.2)), USER, ITEM, TIME)
    assert 1 not in split
    assert 2 in split


def test_temporal_split_cuts_at_two_moments_and_keeps_ties_together():
    split = assign(SplitRecipe("temporal"), USER, ITEM, TIME)
    assert TIME[split == 0].max() < TIME[split == 1].min()
    assert TIME[split == 1].max() < TIME[split == 2].min()
    assert np.bincount(split) == pytest.approx(np.array([0.8, 0.1, 0.1]) * len(USER), abs=5)
    ties = assign(SplitRecipe("temporal"), USER[:10], ITEM[:10], np.array([1, 1, 1, 1, 1, 1, 1, 2, 2, 2]))
    assert ties.tolist() == [0] * 10


def test_temporal_split_without_timestamps_is_refused():
    with pytest.raises(LetheError, match="timestamp 0"):
        assign(SplitRecipe("temporal"), USER, ITEM, np.zeros_like(USER))


def test_the_id_names_recipe_seed_and_epoch():
    recipe = SplitRecipe()
    assert recipe.id(4) == SplitRecipe().id(4)
    others = [recipe.id(5), SplitRecipe(seed=1).id(4), SplitRecipe("temporal").id(4)]
    assert len({recipe.id(4), *others}) == 4


def test_the_id_is_stable_across_versions():
    assert SplitRecipe().id(0) == "46eb4002240fdf61"


@pytest.mark.parametrize(
    "bad",
    [{"name": "chronological"}, {"ratios": (0.8, 0.1, 0.2)}, {"ratios": (0.0, 0.5, 0.5)}, {"ratios": (1.1, -0.1, 0.0)}],
)
def test_a_bad_recipe_is_refused(bad):
    with pytest.raises(LetheError):
        SplitRecipe(**bad)


def test_no_rows_give_no_codes():
    none = np.zeros(0, dtype=np.int64)
    assert len(assign(SplitRecipe(), none, none, none)) == 0
