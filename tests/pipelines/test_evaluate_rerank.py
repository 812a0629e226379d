"""With the re-ranker: the same lists in another order, fallbacks counted, prompts checked."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from db.records import Item
from llm.score.base import Scores
from pipelines.config import Plan
from pipelines.evaluate.guard import LeakError
from pipelines.evaluate.protocols import protocol
from pipelines.evaluate.rerank import Reranker
from pipelines.evaluate.run import load_cells, plan, run
from pipelines.evaluate.summary import summarise
from pipelines.evaluate.world import draw
from recsys.ease import EaseFitter
from tests.pipelines.evaluations import grid, lab_of, pairs, toy_data

DATA = toy_data()
ITEMS = tuple(Item(item, f"film {item}") for item in DATA.log.items)


class Backwards:
    """Prefers what came last, and cannot answer about people whose history ends with film i0."""

    name = "backwards"

    def __init__(self):
        self.seen = []

    def score(self, contexts):
        self.seen += contexts
        return [
            Scores(np.arange(len(c.candidates), dtype=np.float64), usable=c.history[-1].id != "i0", detail="ends badly")
            for c in contexts
        ]


def reranker(people=None, **more):
    return Reranker(Plan(candidates=10, tuning_people=10, chunk=16, **more), Backwards(), ITEMS, "backwards", people)


def rows(cell, view):
    return cell.people.filter((pl.col("phase") == "after") & (pl.col("view") == view)).sort("row")


def test_lists_are_the_backbones_in_the_models_order_and_fallbacks_are_counted(tmp_path):
    lab = lab_of(tmp_path, DATA, reranker=reranker(), weight=1.0)
    outcome = run(lab, grid("shield"))
    for cell in load_cells(lab, outcome.specs):
        served, ranked = rows(cell, "served"), rows(cell, "reranked")
        both = served.join(ranked, on="row", suffix="_ranked").filter(pl.col("warm"))
        assert both.height == ranked.height > 40
        for one in both.iter_rows(named=True):
            ten, turned = one["list"][:10], one["list_ranked"][:10]
            assert turned == (ten if one["origin_ranked"] == "fallback" else ten[::-1])
        counted = cell.facts["rerank"]["origins"]
        assert counted == dict(ranked.group_by("origin").len().iter_rows())
    (shield,) = [row for row in summarise(lab, outcome)["tables"][0]["rows"] if row["method"] == "shield"]
    assert shield["reranked"]["fallbacks"] == counted.get("fallback", 0)
    assert sum(shield["reranked"]["origins"].values()) == shield["reranked"]["people"]
    assert shield["times"]["rerank_a_person"] > 0


def test_after_forgetting_no_forgotten_row_is_in_a_prompt(tmp_path):
    lab = lab_of(tmp_path, DATA, reranker=reranker(), weight=0.5)
    run(lab, grid(protocols=("interactions-10",)))
    world = draw(DATA, protocol("interactions-10", 0))
    model = EaseFitter().fit(world.training)
    ranked = reranker()
    ranked.answer(model, world.after, world.guard_after, weight=0.5, progress=lambda done, of: None)
    lost = pairs(world.forgetting.forgotten(DATA.log))
    assert ranked.scorer.seen
    assert not {(int(c.user), int(item.id[1:])) for c in ranked.scorer.seen for item in c.history} & lost
    with pytest.raises(LeakError, match=r"prompts: row .* is a forgotten row"):
        ranked.answer(model, world.before, world.guard_after, weight=0.5, progress=lambda done, of: None)


def test_the_weight_is_chosen_once_on_validation_rows_and_is_part_of_the_key(tmp_path):
    lab = lab_of(tmp_path, DATA, reranker=reranker())
    (first, *_), _ = plan(lab, grid())
    assert first.rerank["weight"] == 0.0, "a model that turns the lists round earns no weight"
    asked = len(lab.reranker.scorer.seen)
    assert asked == 10
    assert plan(lab, grid())[0][0] == first
    assert len(lab.reranker.scorer.seen) == asked
    other = lab_of(tmp_path, DATA, reranker=replace(reranker(), fingerprint="another model of the same name"))
    assert plan(other, grid())[0][0].key != first.key
    assert len(other.reranker.scorer.seen) == 10, "its weight is chosen anew"
    forced = lab_of(tmp_path, DATA, reranker=reranker(), weight=0.3)
    assert plan(forced, grid())[0][0].key != first.key
    assert plan(lab_of(tmp_path, DATA), grid())[0][0].rerank is None


def test_the_same_people_are_reranked_under_every_method(tmp_path):
    lab = lab_of(tmp_path, DATA, reranker=reranker(people=12), weight=0.5)
    outcome = run(lab, grid("shield", "downdate"))
    people = [rows(cell, "reranked")["row"].to_list() for cell in load_cells(lab, outcome.specs)]
    assert len(people[0]) == 12
    assert all(one == people[0] for one in people)
