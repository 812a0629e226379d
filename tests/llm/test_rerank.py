"""Fusion, the choice of its weight, and the ranking a person gets."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from db.errors import LetheError
from db.records import UserId
from llm.fusion import choose_weight, fuse, order, standardise
from llm.ranking import Origin
from llm.rerank import rerank
from llm.score.base import Scores
from llm.score.packed import PackedScorer
from retrieval.context import Context
from tests.llm.toys import context, toy_model


@dataclass
class Known:
    """A scorer with given opinions, which remembers whether it was asked."""

    opinions: list[Scores]
    asked: list[int] = field(default_factory=list)
    name: str = "known"

    def score(self, contexts):
        self.asked.append(len(contexts))
        return self.opinions


def scores(*values):
    return Scores(np.array(values, np.float32))


def ids(person, *places):
    return tuple(person.candidates[place].id for place in places)


# Fusion


def test_fusion_by_hand():
    """Standardised (2,1,0) and (0,0,3) are (a,0,-a) and (-b,-b,2b), with a = sqrt(3/2) and b = sqrt(1/2)."""
    fused = fuse(np.array([2.0, 1.0, 0.0]), np.array([0.0, 0.0, 3.0]), 0.25)
    a, b = 1.5**0.5, 0.5**0.5
    np.testing.assert_allclose(fused, [0.75 * a - 0.25 * b, -0.25 * b, -0.75 * a + 0.5 * b])


def test_weight_0_is_the_order_as_it_came_and_weight_1_the_model_alone():
    rng = np.random.default_rng(0)
    for size in (1, 2, 50):
        backbone, model = rng.normal(size=size).astype(np.float32), rng.normal(size=size)
        assert order(fuse(backbone, model, 0)).tolist() == list(range(size)), "even where the scores rise"
        assert order(fuse(backbone, model, 1)).tolist() == np.argsort(-model).tolist()


def test_ties_keep_the_order_they_came_in():
    assert order(fuse(np.array([3.0, 2.0, 1.0, 0.0]), np.array([1.0, 5.0, 1.0, 5.0]), 1)).tolist() == [1, 3, 0, 2]
    assert order(fuse(np.ones(4), np.ones(4), 0.5)).tolist() == [0, 1, 2, 3]


def test_standardising_forgets_scale_and_offset():
    values = np.array([1.0, 4.0, -2.0])
    np.testing.assert_allclose(standardise(values * 7 + 3), standardise(values))
    assert standardise(np.array([])).shape == (0,)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_that_is_no_share_is_refused(weight):
    with pytest.raises(LetheError, match="outside 0 to 1"):
        fuse(np.ones(2), np.ones(2), weight)


@pytest.mark.parametrize("shift", [0, 1, 3, 7, 30])
def test_no_candidate_moves_further_than_allowed(shift):
    for seed in range(20):
        wanted = np.random.default_rng(seed).normal(size=17)
        placed = order(wanted, shift)
        assert sorted(placed) == list(range(17))
        assert np.abs(placed - np.arange(17)).max() <= shift
    assert order(wanted, 30).tolist() == order(wanted).tolist()


def test_a_bounded_shift_by_hand():
    """The last wants to be first, but may rise by one rank only."""
    assert order(np.array([3.0, 2.0, 1.0, 9.0]), 1).tolist() == [0, 1, 3, 2]
    assert order(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist() == [2, 3, 0, 1]
    with pytest.raises(LetheError, match="negative"):
        order(np.ones(2), -1)


# Choice of the weight


def case(people, helpful, seed=0):
    """The relevant candidate stands third for the backbone; a helpful model puts it first."""
    rng = np.random.default_rng(seed)
    backbone = [np.linspace(1, 0, 12) for _ in range(people)]
    hits = [np.arange(12) == 2 for _ in range(people)]
    model = [hit + rng.normal(scale=0.1, size=12) if helpful else rng.normal(size=12) for hit in hits]
    return {"backbone": backbone, "model": model, "hits": hits, "relevant": [1] * people, "seed": 0}


def test_a_helpful_model_gets_weight_and_a_useless_one_none():
    helpful, useless = choose_weight(**case(40, helpful=True)), choose_weight(**case(40, helpful=False))
    assert helpful.weight == helpful.best > 0
    assert helpful.uplift.low > 0
    assert helpful.ndcg[0] == pytest.approx(0.5), "third of one: 1/log2(4)"
    assert helpful.ndcg[helpful.grid.index(helpful.best)] == pytest.approx(1.0)
    assert helpful.uplift.mean == pytest.approx(0.5)
    assert useless.weight == 0
    assert useless.uplift.mean >= 0


def test_an_uplift_that_chance_explains_gives_weight_0():
    """One person of many gains: the mean rises, the interval still includes 0."""
    given = case(30, helpful=False)
    given["model"] = [np.linspace(1, 0, 12)] * 29 + [np.asarray(given["hits"][29], float)]
    choice = choose_weight(**given)
    assert choice.best > 0
    assert choice.uplift.mean > 0
    assert choice.uplift.low <= 0
    assert choice.weight == 0


def test_rows_outside_the_candidates_count_in_the_ideal_and_people_without_rows_do_not():
    given = case(3, helpful=True)
    given["relevant"] = [2, 2, 0]
    choice = choose_weight(**given)
    assert choice.people == 2
    assert choice.ndcg[0] == pytest.approx(0.5 / (1 + 1 / np.log2(3)))


def test_the_choice_repeats_with_its_seed():
    assert choose_weight(**case(25, helpful=True)) == choose_weight(**case(25, helpful=True))


def test_a_choice_without_grounds_is_refused():
    with pytest.raises(LetheError, match="lacks 0"):
        choose_weight(**case(3, helpful=True), grid=(0.5, 1.0))
    with pytest.raises(LetheError, match="no person has a validation row"):
        choose_weight(**case(3, helpful=True) | {"relevant": [0, 0, 0]})


# Rankings


def test_weight_0_does_not_ask_the_model():
    person, known = context(1, candidates=3), Known([])
    backbone = np.array([0.1, 0.9, 0.5], np.float32)
    for scorer in (known, None):
        (ranking,) = rerank([person], [backbone], scorer, 0.0)
        assert ranking.items == ids(person, 0, 1, 2)
        assert ranking.scores == tuple(backbone.tolist())
        assert ranking.origin is Origin.BACKBONE
    assert known.asked == []


def test_a_person_without_a_history_is_not_asked_about():
    known, newcomer = context(1), replace(context(2), history=())
    scorer = Known([scores(*range(len(known.candidates)))])
    own = [np.arange(len(one.candidates), 0, -1, dtype=np.float32) for one in (known, newcomer)]
    first, second = rerank([known, newcomer], own, scorer, 1.0)
    assert (first.origin, second.origin) == (Origin.MODEL, Origin.BACKBONE)
    assert second.items == ids(newcomer, *range(len(newcomer.candidates)))
    assert scorer.asked == [1]


@pytest.mark.parametrize(("weight", "origin"), [(0.5, Origin.FUSED), (1.0, Origin.MODEL)])
def test_the_model_moves_candidates_and_the_origin_says_so(weight, origin):
    person = context(1, candidates=3)
    (ranking,) = rerank([person], [np.array([3.0, 2.9, 0.0])], Known([scores(0, 5, 5.1)]), weight)
    assert ranking.origin is origin
    assert ranking.items == (ids(person, 1, 0, 2) if weight == 0.5 else ids(person, 2, 1, 0))
    assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
    assert ranking.user == person.user


def test_a_fallback_keeps_the_backbones_order_and_is_marked():
    people = [context(1, candidates=3), context(2, candidates=2), Context(UserId("none"), (), ())]
    known = Known([Scores.unusable(3, "no answer"), scores(0, 1), Scores(np.zeros(0, np.float32))])
    backbone = [np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0]), np.zeros(0)]
    rankings = rerank(people, backbone, known, 1.0)
    assert [one.origin for one in rankings] == [Origin.FALLBACK, Origin.MODEL, Origin.BACKBONE]
    assert rankings[0].items == ids(people[0], 0, 1, 2)
    assert rankings[1].items == ids(people[1], 1, 0)
    assert rankings[2].items == ()


def test_a_bounded_shift_holds_against_a_model_that_wants_more():
    person = context(1, candidates=10)
    backbone, opinion = np.linspace(1, 0, 10), scores(*range(10))
    (free,) = rerank([person], [backbone], Known([opinion]), 1.0)
    (bound,) = rerank([person], [backbone], Known([opinion]), 1.0, max_shift=2)
    place = {item.id: rank for rank, item in enumerate(person.candidates)}
    assert max(abs(place[item] - rank) for rank, item in enumerate(free.items)) == 9
    assert max(abs(place[item] - rank) for rank, item in enumerate(bound.items)) == 2


def test_scores_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match="3 candidates but 2"):
        rerank([context(1, candidates=3)], [np.zeros(2)], None, 0.0)


def test_a_real_scorer_goes_through():
    people = [context(seed, candidates=8) for seed in range(3)]
    scorer = PackedScorer(toy_model())
    rankings = rerank(people, [np.linspace(1, 0, 8)] * 3, scorer, 1.0)
    for person, ranking, opinion in zip(people, rankings, scorer.score(people), strict=True):
        assert ranking.items == ids(person, *np.argsort(-opinion.values, kind="stable"))
        assert ranking.origin is Origin.MODEL
