"""Lists of real people beside a forgetting: a concept's items are neither shown, offered nor wanted."""

import numpy as np
import pytest

from db.records import Item, ItemId
from llm.score.naive import NaiveScorer
from pipelines.evaluate.split import with_split
from pipelines.evaluate_concepts.cells import samples
from pipelines.evaluate_concepts.measures import Case
from pipelines.evaluate_concepts.ranked import ALONE, FUSED, Lists, RealPeople
from pipelines.evaluate_concepts.subject import Sizes, named, subject
from tests.llm.toys import toy_model
from tests.recsys.toy import camps
from unlearning.concept.base import quiet
from unlearning.concept.evaluate import Fork
from unlearning.concept.probes import ProbeSizes


@pytest.fixture(scope="module")
def world():
    """Two camps of people, items with facts, and a genre to be forgotten."""
    log = camps(40, 48, 12, 0)
    items = tuple(
        Item(ItemId(str(name)), f"Film {row}", 1950 + row, ("Noir" if row % 6 == 0 else "Drama",))
        for row, name in enumerate(log.items)
    )
    data = with_split(log, "toy", {"name": "random"}, epoch=1, items=items)
    sizes = Sizes(
        ProbeSizes(neighbours=4, retained=6, forms=1, people=1, chosen=1), most=4, people=1, judged=1, disguised=1
    )
    return data, subject(named("Noir", items), items, seed=0, sizes=sizes)


def test_the_concept_is_out_of_every_list_history_and_wish(world):
    data, about = world
    lists = RealPeople(data, Lists(people=10, candidates=12))
    model = toy_model()
    asked, found, contexts = lists._questions(Case(model, Fork(model), about, 0))
    hidden = {row for row, item in enumerate(data.items) if "Noir" in item.genres}
    assert 0 < len(asked.people) <= 10
    for place, context in enumerate(contexts):
        assert not hidden & {*asked.relevant[place].tolist(), *found[place].rows.tolist()}
        assert not about.concept.ids & {item.id for item in (*context.history, *context.candidates)}
        assert context.history


def test_the_models_own_list_is_its_scorers_and_the_same_forgetting_gives_the_same(world):
    data, about = world
    lists = RealPeople(data, Lists(people=6, candidates=12, chunk=4))
    model = toy_model()
    case = Case(model, Fork(model), about, 0)
    asked, found, contexts = lists._questions(case)
    first, second = (lists(case, quiet) for _ in range(2))
    assert first.rows.equals(second.rows)
    alone = samples(first.rows)[ALONE].values
    for place, scores in enumerate(NaiveScorer(model).score(contexts)):
        order = found[place].rows[np.argsort(-scores.values, kind="stable")][:10]
        gains = np.isin(order, asked.relevant[place]) / np.log2(np.arange(2, len(order) + 2))
        ideal = (1 / np.log2(np.arange(2, min(10, len(asked.relevant[place])) + 2))).sum()
        assert alone[place] == pytest.approx(gains.sum() / ideal)
    assert set(samples(first.rows)) == {ALONE, FUSED}
    assert first.facts["unusable"] == 0


def test_another_split_or_another_share_is_another_key(world):
    data, _ = world
    assert RealPeople(data, Lists()).key == RealPeople(data, Lists()).key != RealPeople(data, Lists(weight=0.5)).key
