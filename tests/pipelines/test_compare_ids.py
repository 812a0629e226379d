"""The arm that moves ids: its figures are those of `lethe evaluate tracer`, and wherever it has none it says why."""

import json
from dataclasses import replace

import pytest

from pipelines.cli.compare import told as said
from pipelines.cli.output import plain
from pipelines.compare import ids
from pipelines.compare.arms import NONE, ORACLE, TOKENS, TRAIN, arms
from pipelines.compare.page import made
from pipelines.evaluate_tracer.spec import BASE
from pipelines.evaluate_tracer.summary import of_cells
from tests.pipelines.test_compare import ERASURE, FILTER, PROMPT
from tests.pipelines.test_compare_page import ABOUT
from tests.pipelines.test_evaluate_tracer import grid, lab
from unlearning.tokens import relearn

__all__ = ["grid", "lab"]

CHOSEN = arms([FILTER, ERASURE, "both", PROMPT])


@pytest.fixture(scope="module")
def outcome(lab, grid):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relearn, "AT", (0, 1))
        return ids.measure(lab, replace(grid, concepts=("noir", "no such thing"), methods=(ids.TRACER, ids.REMOVAL)))


@pytest.fixture(scope="module")
def tables(outcome):
    return {table["surface"]: table for table in ids.tables(outcome, "noir", CHOSEN)}


def row(table, arm):
    (found,) = (one for one in table["rows"] if one["arm"] == arm)
    return found


def test_an_arm_comes_to_one_way_to_forget_ids():
    known = {arm.name: ids.method_of(arm) for arm in ids.beside(arms())}
    assert (known[NONE], known[FILTER], known["both"], known[TOKENS.name]) == (BASE, ids.REMOVAL, ids.REMOVAL, "tracer")
    assert known[ERASURE] == known[ORACLE] == "oracle"
    assert {known[name] for name in ("adapter", "random-mask adapter", "full LoRA", PROMPT)} == {None}


def test_figures_are_those_of_the_evaluation(outcome, tables):
    rows = {one["method"]: one for one in of_cells(outcome.cells["noir"])}
    for surface, column in ids.COLUMNS.items():
        for arm, method in ((NONE, "none"), (TOKENS.name, "tracer"), (FILTER, "trie-removal"), (ORACLE, "oracle")):
            theirs = rows[method]["ndcg"] if column.kept else rows[method]["measures"][column.name]
            assert row(tables[surface], arm)["value"] == pytest.approx(theirs["mean"])
            assert row(tables[surface], arm)["oracle"] == row(tables[surface], ORACLE)["value"]


def test_every_arm_has_a_figure_or_a_reason(tables):
    for table in tables.values():
        assert [one["arm"] for one in table["rows"]] == [NONE, FILTER, "both", ERASURE, PROMPT, TOKENS.name, ORACLE]
        assert row(table, PROMPT)["state"] == "not applicable"
        assert "language model" in row(table, PROMPT)["why"]
        assert (row(table, "both")["as"], row(table, ORACLE)["as"]) == (FILTER, ERASURE)
    assert row(tables["list by semantic ids"], FILTER)["value"] == 0


def whole(outcome, chosen=CHOSEN):
    """A comparison of two concepts and a person, with nothing measured in it but ids."""
    surface = {"surface": "served list", "told": "seen", "kept": False, "scope": "everybody"}
    answers, own = ({**surface, "surface": name} for name in ("answers", "own list"))
    lines = [ids.absent(arm.name, "not measured") for arm in chosen]
    concept = {"kind": "genre", "titles": ["Film 0"], "oracle": None, "people": 2, "asking": 1}
    person = {"backbone": "ease", "protocol": "users-1", "people": 1, "requests": 1}
    surfaces = [{**one, "rows": lines} for one in (surface, answers)]
    found = {
        "model": {"name": "m", "fingerprint": "f"},
        "split": {"name": "paper", "id": "s"},
        "backbone": "ease",
        "lists": {"candidates": 50, "quota": 0.1, "weight": 0.3},
        "items": 40,
        "quick": False,
        "cells": {"finished": 1, "measured_now": 1, "left": 2},
        "failed": [],
        "concepts": [{**concept, "name": name, "surfaces": surfaces} for name in ("noir", "no such thing")],
        "data": [{**person, "surfaces": [{**own, "rows": lines}]}],
    }
    return json.loads(json.dumps(plain({**ids.joined(found, outcome, chosen), "tokens": True})))


def test_elsewhere_it_says_why_it_is_not_applicable_and_the_page_tells_it(outcome):
    found = whole(outcome)
    concept, strange = found["concepts"]
    (person,) = found["data"]
    reasons = [row(table, TOKENS.name)["why"] for table in (*concept["surfaces"][:2], *person["surfaces"])]
    assert ["ease" in reasons[0], "language model" in reasons[1], "nobody's rows" in reasons[2]] == [True] * 3
    assert all("no such thing" in one["why"] for one in strange["surfaces"][-1]["rows"] if one["arm"] != PROMPT)
    assert found["cells"] == {"finished": 1 + 5, "measured_now": 1 + 5, "left": 2}
    text, _ = made(ABOUT, found, folder="here")
    assert all(reason in text for reason in reasons)
    assert "| tokens |  | ids moved |  |" in text
    assert f"{row(concept['surfaces'][-1], TOKENS.name)['value']:.3f}" in text
    for table in (table for one in (*found["concepts"], *found["data"]) for table in one["surfaces"]):
        assert all(one["value"] is not None or one["state"] for one in table["rows"])


def test_a_short_run_takes_what_is_kept_and_names_the_command_for_the_rest(lab, grid, outcome):
    own = replace(grid, methods=(ids.TRACER, ids.REMOVAL))
    again = ids.measure(lab, own, short=True)
    assert [one.spec for one in again.cells["noir"]] == [one.spec for one in outcome.cells["noir"]]
    missing = ids.measure(lab, replace(own, people=7), short=True)
    assert (missing.done.measured, missing.cells["noir"]) == (0, [])
    (first, *_) = ids.tables(missing, "noir", CHOSEN)
    assert row(first, TOKENS.name)["state"] == "not measured"
    assert "`lethe evaluate tracer --concept noir`" in row(first, TOKENS.name)["why"]


def test_a_method_is_held_against_the_seeds_that_all_have(outcome):
    kept = outcome.cells["noir"]
    more = [*kept, replace(kept[0], spec=replace(kept[0].spec, seed=1))]
    assert {m: len(own) for m, own in ids._of_same_seeds(more).items()} == dict.fromkeys(
        ("none", "oracle", "tracer", "trie-removal"), 1
    )


def test_a_root_without_a_generative_recommender_leaves_the_arm_out_and_says_how_to_get_it(lethe):
    assert not ids.wanted(lethe.store, [])
    refused = lethe("compare", "--quick", "--arm", TOKENS.name)
    assert refused.status == 1
    assert TRAIN in refused.err
    empty = {"model": {"name": "m"}, "backbone": "ease", "items": 4, "cells": {"finished": 0}}
    text = said({**empty, "concepts": [], "data": [], "failed": [], "tokens": False})
    assert TRAIN in text
