"""`lethe compare`: every surface knows its two ends, arms fail where they must, and nothing is made up or lost."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from db.errors import LetheError
from db.records import Item, ItemId
from pipelines.cli.output import plain
from pipelines.compare import cells
from pipelines.compare.arms import ARMS, NONE, ORACLE, Arm, arms
from pipelines.compare.forced import bare, reissued
from pipelines.compare.listed import exposure
from pipelines.compare.rows import ended, of_cell
from pipelines.compare.run import Wish, plan, run
from pipelines.compare.spec import Scope
from pipelines.compare.summary import summarise
from pipelines.compare.surfaces import SURFACES
from tests.pipelines.comparisons import HOW, Follower, lab_of, wish, world
from tests.pipelines.concept_evaluations import TITLE
from tests.unlearning.concept.world import catalogue
from unlearning.concept.base import Concept, Kind
from unlearning.concept.cells import Sample, cell

FILTER, ERASURE, PROMPT = "retrieval filter", "erasure at the backbone", "prompt only"
EVERYBODY, PERSON = (scope.value for scope in Scope)


def told(lab, asked, outcome):
    """The summary of the one concept, as JSON."""
    (one,) = json.loads(json.dumps(plain(summarise(lab, outcome, asked.arms))))["concepts"]
    return one


def row(found, surface, arm, scope=EVERYBODY):
    (table,) = (one for one in found["surfaces"] if (one["surface"], one["scope"]) == (surface, scope))
    return next(line for line in table["rows"] if line["arm"] == arm)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run of the arms that are trained by nothing, at every surface, with an oracle."""
    lab, asked = lab_of(tmp_path_factory.mktemp("cells")), wish()
    return lab, asked, run(lab, asked)


@pytest.fixture(scope="module")
def found(kept):
    return told(kept[0], kept[1], kept[2])


LEAKS = [one for one in SURFACES.values() if not one.kept and one.name != "history re-injected"]


@pytest.mark.parametrize("surface", [one.name for one in LEAKS])
def test_nothing_is_forgotten_where_nothing_was_done_and_all_of_it_by_the_oracle(found, surface):
    none, oracle = row(found, surface, NONE), row(found, surface, ORACLE)
    assert none["value"] > oracle["value"]
    assert none["gap"]["mean"] == pytest.approx(none["value"] - oracle["value"])
    assert (oracle["gap"]["mean"], oracle["value"]) == (0, oracle["oracle"])
    if none["tells"]:
        assert (none["state"], oracle["state"]) == ("left", "gone")


def test_a_list_follows_a_title_in_the_history_unless_the_model_never_met_it(tmp_path):
    lab, asked = lab_of(tmp_path, make=Follower), wish(PROMPT, surfaces=("history re-injected", "forced candidate"))
    found = told(lab, asked, run(lab, asked))
    followed = [row(found, "history re-injected", arm)["value"] for arm in (NONE, PROMPT, ORACLE)]
    assert followed == [1, 0.5, 0.5], "above all its neighbours; level with them"
    assert row(found, "forced candidate", NONE)["value"] == 0.5, "without the title in the history there is nothing"


@pytest.mark.parametrize(
    "surface",
    ["forced candidate", "forced candidate, title only", "near duplicate", "answers", "raw base", "index query"],
)
def test_a_filter_alone_fails_where_nobody_searches(found, surface):
    filtered, none = row(found, surface, FILTER), row(found, surface, NONE)
    assert filtered["value"] == pytest.approx(none["value"])
    assert row(found, "candidates", FILTER)["value"] == row(found, "served list", FILTER)["value"] == 0


def test_a_filter_by_id_lets_a_second_copy_through_unless_the_text_search_loses_it_with_the_history(found):
    name = "near duplicate in the search"
    stand, concept = world(), Concept(TITLE, Kind.TITLE, (catalogue()[28],))
    for arm in (NONE, FILTER):
        hits = stand.twice(concept, Arm("", hides=arm == FILTER), Scope.EVERYBODY)
        copies = [(rows == len(catalogue())).mean() for rows in hits]
        assert row(found, name, arm)["value"] == pytest.approx(float(np.mean(copies)))
        assert not any(28 in rows for rows in hits) or arm == NONE
    assert row(found, name, FILTER)["value"] > row(found, name, ORACLE)["value"] == 0


@pytest.mark.parametrize("surface", ["list by the backbone alone", "candidates", "raw base", "index query"])
def test_what_acts_on_the_model_alone_fails_where_no_model_is_asked(found, surface):
    assert row(found, surface, PROMPT)["value"] == row(found, surface, NONE)["value"] > 0
    assert row(found, surface, PROMPT)["as"] == NONE
    assert row(found, "forced candidate", PROMPT)["value"] == row(found, "forced candidate", ORACLE)["value"] == 0.5


def test_a_model_that_alone_orders_a_list_shows_what_it_knows(found):
    assert row(found, "list by the model alone", NONE)["value"] == pytest.approx(0.1), "the title stands among ten"


def test_without_its_rows_an_item_comes_by_its_text_and_for_one_person_by_what_others_met():
    stand = world()
    concept = Concept(TITLE, Kind.TITLE, (catalogue()[28],))
    (hidden,) = stand.hidden(concept)
    erased = Arm("", erases=True)
    everybody = stand.found(concept, erased, Scope.EVERYBODY, seed=0)
    brought = [dict(zip(one.rows.tolist(), one.origin, strict=True)) for one in everybody.candidates]
    assert {one[hidden] for one in brought if hidden in one} <= {"text"}
    crowd = stand.crowd(concept)
    person = stand.found(concept, erased, Scope.PERSON, seed=0)
    own = [one for one, asks in zip(person.candidates, crowd.asks, strict=True) if asks]
    sources = [dict(zip(one.rows.tolist(), one.origin, strict=True)).get(hidden) for one in own]
    assert "backbone" in sources
    rivers = Concept("Rivers", Kind.FRANCHISE, tuple(item for item in catalogue() if "River" in item.title))
    before, after = (stand.found(rivers, arm, Scope.PERSON, seed=0).candidates for arm in (Arm(""), erased))
    other = int(np.flatnonzero(~stand.crowd(rivers).asks)[0])
    assert not np.array_equal(after[other].scores, before[other].scores), "the backbone is another for everybody"
    assert all(
        hidden not in one.rows for one in stand.found(concept, Arm("", hides=True), Scope.EVERYBODY, seed=0).candidates
    )
    assert not any(item.id == "28" for one in everybody.contexts for item in one.history)


def test_people_to_whom_the_concept_would_be_offered_come_first_and_are_the_same_for_all():
    stand = world()
    concept = Concept(TITLE, Kind.TITLE, (catalogue()[28],))
    (hidden,) = stand.hidden(concept)
    crowd = stand.crowd(concept)
    assert len(crowd.rows) == len(set(crowd.rows.tolist())) == HOW.people
    assert crowd.asks.tolist() == [True, False] * (HOW.people // 2)
    offered = [hidden in one.rows for one in stand.found(concept, Arm(""), Scope.EVERYBODY, seed=0).candidates]
    assert sorted(offered, reverse=True) == offered
    assert any(offered)
    assert not any(hidden in wanted for wanted in crowd.relevant)
    assert world().crowd(concept).rows.tolist() == crowd.rows.tolist()


def test_one_persons_request_leaves_the_others_lists_as_they_were(found):
    others = {arm: row(found, "others' lists", arm, PERSON)["value"] for arm in (NONE, FILTER, PROMPT)}
    assert others == dict.fromkeys(others, 1)
    assert row(found, "others' lists", FILTER, PERSON)["state"] == "kept"
    assert row(found, "served list", FILTER, PERSON)["asked"] == found["asking"] == found["people"] / 2


def test_what_must_stay_is_held_against_the_arm_that_forgot_nothing(found):
    assert row(found, "other answers", FILTER)["state"] == "kept"
    assert row(found, "quality of the rest", NONE)["change"]["mean"] == 0


def test_arms_share_the_cells_of_a_surface_that_does_not_see_in_what_they_differ(kept, found):
    _, _, outcome = kept
    specs = {one.arm.name: one.specs for one in outcome.planned if one.surface.name == "answers"}
    assert specs[NONE] == specs[FILTER] == specs[ERASURE] != specs[PROMPT]
    assert [row(found, "answers", arm)["as"] for arm in (NONE, FILTER, PROMPT, ORACLE)] == [None, NONE, None, None]
    lists = {one.arm.name: one.specs for one in outcome.planned if one.surface.name == "served list"}
    assert len({specs[0].name for specs in lists.values()}) == len(lists)
    assert outcome.done.measured == len({spec.name for one in outcome.planned for spec in one.specs})


def test_the_same_run_again_measures_nothing_and_a_lost_cell_is_measured_again_as_it_was(kept, found, tmp_path):
    lab, asked, outcome = kept
    copy = shutil.copytree(lab.concepts.keeper._folder, tmp_path / "cells")
    lost = next(one.specs[0] for one in outcome.planned if one.surface.name == "near duplicate")
    shutil.rmtree(copy / lost.name)
    again = lab_of(copy)
    assert run(again, asked, minutes=0).done.left == 1
    assert row(told(again, asked, run(again, asked, minutes=0)), "near duplicate", NONE)["state"] == "not measured"
    done = run(again, asked)
    assert (done.done.measured, done.done.left) == (1, 0)
    now, before = (cells.load(one.concepts.keeper, lost).sample for one in (again, lab))
    assert now.items == before.items
    assert np.array_equal(now.values, before.values)
    assert told(again, asked, run(again, asked)) == found


def test_without_an_oracle_its_column_is_void_but_where_a_catalogue_decides(tmp_path):
    lab, asked = lab_of(tmp_path, oracle=False), wish(FILTER, surfaces=("served list", "answers", "index query"))
    found = told(lab, asked, run(lab, asked))
    assert found["oracle"] is None
    for arm in (NONE, FILTER, ORACLE):
        assert row(found, "answers", arm)["oracle"] is None
        assert row(found, "answers", arm)["gap"] is None
        assert row(found, "answers", arm)["state"] == "no oracle"
    assert row(found, "answers", ORACLE)["value"] is None
    assert row(found, "served list", ORACLE)["value"] == row(found, "index query", ORACLE)["value"] == 0


def test_what_is_trained_is_measured_with_every_seed_and_the_rest_once(tmp_path):
    lab = lab_of(tmp_path)
    planned = list(plan(lab, wish("adapter", PROMPT, surfaces=("served list", "candidates", "raw base"), seeds=3)))
    seeds = {(one.surface.name, one.arm.name): len(one.specs) for one in planned}
    assert seeds["served list", "adapter"] == 3
    assert seeds["candidates", "adapter"] == seeds["raw base", "adapter"] == seeds["served list", PROMPT] == 1
    lab.world.fitting = replace(lab.world.fitting, backbone="bpr")
    with pytest.raises(LetheError):
        lab.world.crowds.clear() or list(plan(lab, wish(surfaces=("nothing",))))


def test_an_adapter_is_fitted_once_for_all_its_surfaces_and_comes_off_again(tmp_path):
    lab, asked = lab_of(tmp_path), wish("adapter", "both", surfaces=("answers", "raw base", "others' lists"))
    before = lab.concepts.model.model.state_dict()
    copies = {name: value.clone() for name, value in before.items()}
    found = told(lab, asked, run(lab, asked))
    fits = [json.loads(path.read_text())["facts"] for path in tmp_path.glob("compare-*-answers-*/cell.json")]
    assert sum("fit_seconds" in one for one in fits) == 1
    assert row(found, "answers", "both")["as"] == "adapter"
    assert row(found, "raw base", "adapter")["value"] == row(found, "raw base", NONE)["value"]
    assert row(found, "others' lists", "adapter", PERSON)["value"] == 1
    after = lab.concepts.model.model.state_dict()
    assert set(after) == set(copies)
    assert all((after[name] == value).all() for name, value in copies.items())


def test_rows_tell_people_by_their_place(kept):
    lab, _, outcome = kept
    spec = next(one.specs[0] for one in outcome.planned if one.surface.name == "served list")
    assert cells.load(lab.concepts.keeper, spec).sample.items == tuple(map(str, range(HOW.people)))
    forced = next(one.specs[0] for one in outcome.planned if one.surface.name == "forced candidate")
    assert set(cells.load(lab.concepts.keeper, forced).sample.items) == set(map(str, range(HOW.people)))


def test_a_key_holds_all_that_determines_a_cell(kept):
    _, _, outcome = kept
    spec = next(one.specs[0] for one in outcome.planned if one.surface.name == "served list")
    others = [
        replace(spec, surface="candidates"),
        replace(spec, scope=Scope.PERSON),
        replace(spec, arm=Arm("", hides=True)),
        replace(spec, model="another"),
        replace(spec, lists="others"),
        replace(spec, seed=1),
    ]
    assert len({one.name for one in (spec, *others)}) == 7
    digests = {world().digest, world(replace(HOW, weight=0.5)).digest, world(replace(HOW, seed=1)).digest}
    assert len(digests) == 3


def test_exposure_counts_the_places_of_a_list():
    lists = [[ItemId(name) for name in text] for text in ("abcdefghijk", "xyz", "")]
    assert exposure(lists, {ItemId("a"), ItemId("k"), ItemId("z")}).tolist() == [0.1, 0.1, 0]


def test_another_edition_has_an_id_of_its_own_and_a_title_that_says_the_film():
    item = Item(ItemId("7"), "Empire Strikes Back, The", 1980, ("Action",))
    made = reissued(item)
    assert (made.id, made.title) == ("7-reissue", "The Empire Strikes Back: Special Edition")
    assert (made.year, made.genres) == (1980, ("Action",))
    assert bare(item) == Item(ItemId("7"), "Empire Strikes Back, The")


def test_how_a_cell_ended_follows_from_the_share_of_the_way():
    base, oracle = (Sample(np.full(8, value), tuple("abcdefgh")) for value in (1.0, 0.0))
    for value, state in ((0.0, "gone"), (0.05, "gone"), (0.5, "partly"), (0.95, "left")):
        own = cell("x", base, Sample(np.full(8, value), tuple("abcdefgh")), oracle)
        assert of_cell("a", own)["state"] == state
        assert of_cell("a", own)["forgotten"] == pytest.approx(1 - value)
        assert of_cell("a", own, kept=True)["state"] == "lost" if value < 0.98 else "kept"
    same = cell("x", base, base, base)
    assert (of_cell("a", same)["state"], of_cell("a", same)["forgotten"]) == ("cannot tell", None)
    assert of_cell("a", cell("x", base, base), oracle=False)["state"] == "no oracle"
    assert ended(0.9) == "gone"


def test_arms_are_nine_and_none_and_oracle_always_among_them():
    assert len(ARMS) == len(arms()) == 9
    assert [arm.name for arm in arms(("adapter",))] == [NONE, "adapter", ORACLE]
    assert {arm.method for arm in arms(method="npo-guided") if arm.method} == {
        "npo-guided", "npo-random", "npo-none", "prompt"
    }  # fmt: skip
    for wrong in ({"names": ("nothing",)}, {"method": "npo-random"}, {"method": "-guided"}):
        with pytest.raises(LetheError):
            arms(**wrong)


def test_unknown_surfaces_and_oracles_of_nothing_are_refused(tmp_path):
    with pytest.raises(LetheError, match="surface 'moon' is unknown"):
        Wish(arms(), ("moon",))
    with pytest.raises(LetheError, match="0 seeds"):
        Wish(arms(), seeds=0)
    lab = lab_of(tmp_path)
    lab.concepts.oracles = {"Casablanca": [tmp_path]}
    with pytest.raises(LetheError, match="oracle of 'Casablanca'"):
        run(lab, wish())
    lab.concepts.oracles = {TITLE: [tmp_path, tmp_path]}
    with pytest.raises(LetheError, match=f"2 oracles of '{TITLE}'"):
        run(lab, wish())
