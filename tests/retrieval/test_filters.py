"""Every filter through the one suite, and each against a case worked by hand."""

from itertools import product

import numpy as np
import pytest

from db.errors import LetheError
from db.records import Item, ItemId
from recsys.heldout import HeldOut
from retrieval.categories import UNKNOWN, Categories, categories_of, from_genres, from_texts
from retrieval.filters.attention import Attention
from retrieval.filters.attention_training import AttentionFitter, AttentionSettings
from retrieval.filters.controls import Random, Recent, Whole
from retrieval.filters.diversity import Diversity, allot, costs, pack
from retrieval.filters.draw import draw
from retrieval.filters.hit_rate import LEVELS, HitRateFitter, HitRateMatrix, thinned
from retrieval.filters.preference import Preference, shares
from tests.contracts.filters import ITEMS, FilterContract
from tests.fakes import FakeVectorBackbone

NONE = np.empty(0, dtype=np.int64)


def item(row, *genres):
    return Item(ItemId(f"i{row}"), f"Title {row}", None, genres)


def overlapping():
    """40 items over 5 genres, with one to three genres each."""
    rng = np.random.default_rng(11)
    names = ("action", "comedy", "drama", "horror", "western")
    return from_genres([item(r, *rng.choice(names, size=rng.integers(1, 4), replace=False)) for r in range(ITEMS)])


def disjoint(*sizes):
    """Categories of the given sizes, items in order."""
    return from_genres([item(0, f"c{c}") for c, size in enumerate(sizes) for _ in range(size)])


def matrix(names, values, people=1):
    return HitRateMatrix(tuple(names), np.array(values, dtype=float), (people,) * len(names))


class TestRecent(FilterContract):
    @pytest.fixture
    def subject(self):
        return Recent()


class TestRandom(FilterContract):
    @pytest.fixture
    def subject(self):
        return Random()


class TestWhole(FilterContract):
    keeps_to_length = False

    @pytest.fixture
    def subject(self):
        return Whole()


class TestPreference(FilterContract):
    @pytest.fixture
    def subject(self):
        return Preference(overlapping())


class TestDiversity(FilterContract):
    @pytest.fixture
    def subject(self):
        categories = overlapping()
        values = np.random.default_rng(3).random((len(categories), len(LEVELS)))
        return Diversity(categories, matrix(categories.names, values))


class TestAttention(FilterContract):
    @pytest.fixture
    def subject(self):
        inputs = np.random.default_rng(5).standard_normal((ITEMS, 6)).astype(np.float32)
        fitter = AttentionFitter(AttentionSettings(heads=2, width=3, epochs=1))
        return Attention(fitter.fit(inputs, [np.arange(10), np.arange(5, 30)]), inputs)


def test_controls_by_hand():
    history = np.array([9, 8, 7, 6, 5])
    assert Recent().select(history, NONE, 2, seed=0).tolist() == [3, 4]
    assert Recent().select(history, NONE, 0, seed=0).tolist() == []
    assert Whole().select(history, NONE, 2, seed=0).tolist() == [0, 1, 2, 3, 4]
    drawn = np.zeros(5)
    for seed in range(2000):
        drawn[Random().select(history, NONE, 2, seed=seed)] += 1
    np.testing.assert_allclose(drawn / 2000, 0.4, atol=0.04)
    with pytest.raises(LetheError, match="-1 rows"):
        Recent().select(history, NONE, -1, seed=0)


def test_an_item_of_several_categories_counts_a_share_in_each():
    categories = from_genres([item(0, "b", "a"), item(1, "a"), item(2), item(3, "a", "a", "b")])
    assert categories.names == (UNKNOWN, "a", "b")
    assert categories.weight.tolist() == [[0, 0.5, 0.5], [0, 1, 0], [1, 0, 0], [0, 0.5, 0.5]]
    assert categories.counts(np.array([0, 1, 2])).tolist() == [1, 1.5, 0.5]


def test_without_genres_the_texts_are_clustered():
    rng = np.random.default_rng(0)
    centres = np.eye(4, dtype=np.float32)
    texts = np.repeat(centres, 10, axis=0) + 0.01 * rng.standard_normal((40, 4)).astype(np.float32)
    found = from_texts(texts, seed=1, count=4)
    groups = found.weight.argmax(axis=1).reshape(4, 10)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0].tolist())) == 4
    assert (from_texts(texts, seed=1, count=4).weight == found.weight).all()
    bare = [item(row) for row in range(40)]
    assert categories_of(bare, texts, seed=1).names[0] == "cluster 0"
    assert categories_of([item(0, "x"), *bare[1:]], texts, seed=1).names == (UNKNOWN, "x")
    assert len(from_texts(texts[:1], seed=1)) == 1


def test_categories_check_themselves():
    with pytest.raises(LetheError, match="sum to 1"):
        Categories(("a",), np.array([[0.5]]))
    with pytest.raises(LetheError, match="2 categories"):
        Categories(("a", "b"), np.array([[1.0]]))


@pytest.mark.parametrize(
    ("counts", "length", "expected"),
    [
        ([5, 3, 2], 4, [2, 1, 1]),  # 2.0 1.2 0.8
        ([1, 1, 1], 2, [1, 1, 0]),  # thirds: the lower on ties
        ([1, 1, 1], 3, [1, 1, 1]),
        ([7, 2, 1], 5, [4, 1, 0]),  # 3.5 1.0 0.5: the first of the two halves
        ([1.5, 0.5], 1, [1, 0]),
        ([0, 4], 3, [0, 3]),
    ],
)
def test_shares_by_hand(counts, length, expected):
    assert shares(np.array(counts, dtype=float), length).tolist() == expected


def test_preference_keeps_each_categorys_share():
    categories = disjoint(10, 6, 4)
    history = np.random.default_rng(0).permutation(20)
    group = categories.weight.argmax(axis=1)
    seen = set()
    for seed in range(30):
        kept = Preference(categories).select(history, NONE, 10, seed=seed)
        assert np.bincount(group[history[kept]]).tolist() == [5, 3, 2]
        seen |= set(kept.tolist())
    assert len(seen) == 20  # drawn, so that every row has its turn


def test_draw_takes_a_shared_row_once_and_fills_what_it_leaves_short():
    weight = np.array([[0.5, 0.5], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    for seed in range(20):
        kept = draw(weight, np.array([1, 1]), seed=seed)
        assert len(kept) == 2
        assert 0 in kept  # the second category has no other row, and it draws first
    both = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    assert len(draw(both, np.array([2, 1]), seed=0)) == 3
    only = np.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    assert draw(only, np.array([1, 2]), seed=0).tolist() == [0, 1, 2]


def best_by_force(values, cost, capacity):
    """The highest sum over every choice of one level for each category."""
    options = product(range(values.shape[1]), repeat=len(values))
    rows = np.arange(len(values))
    return max(values[rows, list(pick)].sum() for pick in options if cost[rows, list(pick)].sum() <= capacity)


@pytest.mark.parametrize("seed", range(25))
def test_the_knapsack_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    groups, levels = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    values = rng.random((groups, levels))
    cost = np.concatenate([np.zeros((groups, 1), dtype=int), rng.integers(0, 9, (groups, levels - 1))], axis=1)
    for capacity in (0, 1, 7, 20):
        packing = pack(values, cost, capacity)
        rows = np.arange(groups)
        assert packing.value == pytest.approx(best_by_force(values, cost, capacity))
        assert values[rows, packing.levels].sum() == pytest.approx(packing.value)
        assert cost[rows, packing.levels].sum() == packing.cost <= capacity


def test_the_knapsack_by_hand():
    values = np.array([[0.0, 0.5, 0.6], [0.0, 0.1, 0.9]])
    cost = np.array([[0, 1, 2], [0, 1, 3]])
    assert pack(values, cost, 3).levels.tolist() == [0, 2]  # .9 for 3 rows, against .6 + .1
    assert pack(values, cost, 4).levels.tolist() == [1, 2]  # .5 + .9
    assert pack(values, cost, 1).levels.tolist() == [1, 0]
    assert costs(np.array([10.0, 2.5]))[:, [0, 1, 5, 10]].tolist() == [[0, 1, 5, 10], [0, 1, 2, 3]]


def test_diversity_spends_rows_where_they_pay_and_fills_up():
    rising = np.linspace(0, 0.5, len(LEVELS))
    flat = np.full(len(LEVELS), 0.3)
    quick = np.minimum(0.4, 0.2 * np.arange(len(LEVELS)))  # all of its worth is in the first 20%
    counts, available = np.array([10.0, 10.0, 10.0]), np.array([10, 10, 10])
    values = np.stack([rising, flat, quick])
    assert allot(values, counts, available, 6).tolist() == [4, 0, 2]
    assert allot(values, counts, available, 12).tolist() == [10, 0, 2]
    assert allot(values, counts, available, 15).sum() == 15  # rows left over go on where nothing is gained
    falling = np.stack([flat - rising * 0.5, flat])
    assert allot(falling, counts[:2], available[:2], 5).tolist() == [0, 5]
    assert allot(falling, counts[:2], available[:2], 14).tolist() == [4, 10]


def test_diversity_filter_keeps_what_the_packing_grants():
    categories = disjoint(10, 10, 10)
    values = np.stack([np.linspace(0, 0.5, 11), np.full(11, 0.3), np.minimum(0.4, 0.2 * np.arange(11))])
    history = np.random.default_rng(1).permutation(30)
    group = categories.weight.argmax(axis=1)
    for seed in range(10):
        kept = Diversity(categories, matrix(categories.names, values)).select(history, NONE, 6, seed=seed)
        assert np.bincount(group[history[kept]], minlength=3).tolist() == [4, 0, 2]


def test_a_matrix_of_other_categories_is_refused(tmp_path):
    with pytest.raises(LetheError, match="other categories"):
        Diversity(disjoint(2, 2), matrix(["x"], np.zeros((1, 11))))
    with pytest.raises(LetheError, match="shape"):
        matrix(["x"], np.zeros((1, 4)))
    with pytest.raises(LetheError, match="outside 0 to 1"):
        matrix(["x"], np.full((1, 11), 2.0))
    with pytest.raises(LetheError, match="no hit-rate matrix"):
        HitRateMatrix.load(tmp_path / "absent.json")


def test_matrix_round_trip(tmp_path):
    before = matrix(["a", "b"], np.random.default_rng(0).random((2, 11)).round(6), people=4)
    before.save(tmp_path / "m.json")
    after = HitRateMatrix.load(tmp_path / "m.json")
    assert (after.names, after.people, after.k) == (before.names, before.people, before.k)
    assert (after.values == before.values).all()


def test_thinning_keeps_one_category_only():
    categories = disjoint(10, 10)
    history = np.arange(20)
    for percent, expected in ((0, 0), (1, 1), (50, 5), (95, 10), (100, 10)):
        kept = thinned(history, categories, 0, percent, seed=2)
        assert len(kept) == expected
        assert (kept < 10).all()
        assert (np.diff(kept) > 0).all()


def test_hit_rates_are_measured_not_assumed():
    """Two groups of items; of the first, only half of the items tell what people want next; the second never does."""
    vectors = np.zeros((22, 3), dtype=np.float32)
    vectors[:5, 0], vectors[5:10, 1], vectors[10:20, 2], vectors[20:, 0] = 1.0, 1.0, 1.0, 1.0
    categories = disjoint(10, 12)
    histories = [np.array([0, 5 + p % 5, 10, 11 + p % 5]) for p in range(8)]
    asked = HeldOut(np.arange(8), histories, [np.arange(20) for _ in histories], [np.array([20])] * 8)
    steps = []
    fitter = HitRateFitter(k=1, seed=1)
    backbone = FakeVectorBackbone(vectors)
    measured = fitter.fit(backbone, asked, categories, progress=lambda *step: steps.append(step))
    assert measured.people == (8, 8)
    assert steps == [(1, 2), (2, 2)]
    assert (measured.values[:, 0] == 0.0).all()  # nothing kept, nothing found
    one_of_two = [thinned(h, categories, 0, 10, seed=1 + p) for p, h in enumerate(histories)]
    lists = backbone.candidates(one_of_two, asked.exclude, 1)
    expected = np.mean([found.rows[0] == 20 for found in lists])
    assert measured.values[0, 1:6].tolist() == [expected] * 5  # up to 50% is one row of two
    assert (measured.values[0, 6:] == 1.0).all()
    assert (fitter.fit(backbone, asked, categories).values == measured.values).all()
