"""People's requests surface by surface, the page, and the command itself."""

import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest

from pipelines.cli.compare import told as said
from pipelines.cli.output import plain
from pipelines.compare.arms import NONE, ORACLE, arms
from pipelines.compare.lab import rows_grid
from pipelines.compare.page import made, write
from pipelines.compare.people import NEIGHBOURS, OTHERS, OWN, RETURNED, membership, method_of, tables
from pipelines.compare.run import run
from pipelines.compare.summary import summarise
from pipelines.evaluate.page import About, reading
from pipelines.evaluate.run import run as run_rows
from tests.pipelines import comparisons, concept_evaluations, evaluations
from tests.pipelines.comparisons import lab_of, wish
from tests.pipelines.concept_evaluations import saved
from tests.pipelines.test_compare import ERASURE, FILTER, PROMPT

ABOUT = About(
    datetime(2026, 2, 3, tzinfo=UTC),
    "lethe compare",
    {"cores": 2, "processor": "x86_64", "python": "3.11.9"},
    "Which layer forgets what",
)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Ten of sixty people forgotten by EASE, under every arm."""
    lab = evaluations.lab_of(tmp_path_factory.mktemp("rows"), settings={"ease": {"regularisation": 20.0}})
    asked = rows_grid(arms(), "ease", "sequence-10", seeds=1, draw=0, attack=None)
    return plain(tables(lab, run_rows(lab, asked), arms()))


@pytest.fixture(scope="module")
def found(tmp_path_factory, people):
    """Everything that a run says, as JSON."""
    few = ("served list", "candidates", "answers", "quality of the rest")
    lab, asked = lab_of(tmp_path_factory.mktemp("cells")), wish(FILTER, PROMPT, surfaces=few)
    outcome = run(lab, asked)
    return json.loads(json.dumps(plain(summarise(lab, outcome, asked.arms, people))))


def row(people, surface, arm):
    (one,) = people
    (table,) = (table for table in one["surfaces"] if table["surface"] == surface)
    return next(line for line in table["rows"] if line["arm"] == arm)


@pytest.mark.parametrize("surface", [OWN, RETURNED, NEIGHBOURS, OTHERS])
def test_a_person_is_still_there_where_nothing_was_done_and_gone_by_the_oracle_and_an_exact_erasure(people, surface):
    none, oracle, erased = (row(people, surface, arm) for arm in (NONE, ORACLE, ERASURE))
    assert none["value"] > oracle["value"] == pytest.approx(0, abs=1e-9)
    assert erased["value"] == pytest.approx(oracle["value"], abs=1e-9)
    assert erased["gap"]["mean"] == pytest.approx(0, abs=1e-9)
    assert (none["state"], erased["state"], oracle["state"]) in {("left", "gone", "gone"), ("cannot tell",) * 3}


def test_hiding_rows_empties_the_persons_own_list_and_no_one_elses(people):
    assert row(people, OWN, FILTER)["value"] == pytest.approx(row(people, OWN, ORACLE)["value"])
    for surface in (RETURNED, NEIGHBOURS, OTHERS):
        assert row(people, surface, FILTER)["value"] == pytest.approx(row(people, surface, NONE)["value"])


def test_an_adapter_is_to_the_backbone_as_if_nobody_had_asked(people):
    for arm in ("adapter", "random-mask adapter", "full LoRA", PROMPT):
        assert row(people, NEIGHBOURS, arm)["as"] == NONE
        assert row(people, NEIGHBOURS, arm)["value"] == row(people, NEIGHBOURS, NONE)["value"]
    assert row(people, NEIGHBOURS, "both")["as"] == FILTER


def attacked(after):
    """What an attacker reached before forgetting, after it, and under the oracle, as the shadows tell it."""
    auc = {"before": (0.9, 0.85, 0.95), "after": after, "oracle": (0.5, 0.4, 0.6)}
    spans = {state: {"auc": dict(zip(("mean", "low", "high"), span, strict=True))} for state, span in auc.items()}
    return {"method": "shield", "too_weak": False, "shadows": 16, "pairs": 40, "attacks": spans}


def test_an_attackers_figures_are_held_against_the_oracles_with_both_intervals():
    found = membership([attacked((0.8, 0.77, 0.84))], "shield")
    assert (found["value"], found["base"], found["oracle"]) == (0.8, 0.9, 0.5)
    assert found["gap"] == pytest.approx(
        {"mean": 0.3, "low": 0.3 - np.hypot(0.03, 0.1), "high": 0.3 + np.hypot(0.04, 0.1)}
    )
    assert (found["forgotten"], found["state"]) == (pytest.approx(0.25), "partly")
    assert membership([attacked((0.9, 0.85, 0.95))], "shield")["state"] == "left"
    oracle = membership([attacked((0.8, 0.77, 0.84))], "oracle")
    assert (oracle["value"], oracle["gap"]["mean"], oracle["state"]) == (0.5, 0, "gone")
    assert membership([{**attacked((0.8, 0.7, 0.9)), "too_weak": True}], "shield")["state"] == "cannot tell"
    assert membership([], "shield") is membership([attacked((0.8, 0.7, 0.9))], "sisa") is None


def test_what_an_arm_comes_to_at_the_backbone():
    known = {arm.name: (method_of(arm, "ease"), method_of(arm, "bpr")) for arm in arms()}
    assert known[ERASURE] == ("downdate", "retrain")
    assert known[FILTER] == known["both"] == ("shield", "shield")
    assert known[ORACLE] == ("oracle", "oracle")
    assert known[NONE] == known["adapter"] == ("none", "none")


def table_under(text, title):
    """The cells of the first table under a heading, by the first column."""
    after = text[text.index(title) :]
    lines = [line.strip("|").split("|") for line in after.splitlines() if line.startswith("|")]
    last = next((n for n, line in enumerate(after.splitlines()[2:]) if line.startswith("#")), 10**6)
    cells = [[cell.strip() for cell in line] for line in lines[: last + 2]]
    return {line[0]: dict(zip(cells[0], line, strict=False)) for line in cells}


def test_every_figure_of_a_surface_stands_on_the_page(found):
    text, pictures = made(ABOUT, found, folder="here")
    (one,) = found["concepts"]
    served = next(table for table in one["surfaces"] if table["surface"] == "served list")
    lines = table_under(text, "### served list\n")
    for line in served["rows"]:
        told = lines[line["arm"]]
        assert told["value"] == f"{line['value']:.3f}"
        assert told["oracle"] == f"{line['oracle']:.3f}"
        assert told["gap"].startswith(f"{line['gap']['mean']:.3f} [")
        assert told["seeds"] == "1"
    assert table_under(text, "**At a glance**")["served list"][FILTER].endswith(served["rows"][1]["state"])
    assert "## A person, ease, sequence-10" in text
    assert "10 people asked to be forgotten, in 10 requests." in text
    for name in pictures:
        assert f"(here/{name}.svg)" in text


def test_what_is_missing_is_told(found):
    (one,) = found["concepts"]
    bare = [
        {**table, "rows": [{**line, "oracle": None, "gap": None} for line in table["rows"]]}
        for table in one["surfaces"]
    ]
    changed = {**found, "quick": True, "cells": {**found["cells"], "left": 2}, "failed": [{"cell": "c", "error": "e"}]}
    changed["concepts"] = [{**one, "oracle": None, "surfaces": bare}]
    text, _ = made(ABOUT, changed, folder="here")
    assert "**No oracle was given**" in text
    assert table_under(text, "### answers\n")[NONE]["oracle"] == "none"
    assert "Unfinished: 2 cells" in text
    assert "Its figures are no results" in text
    assert "**failed**: `c`: e" in text


def test_what_a_person_wrote_stays_and_pictures_lie_beside(found, tmp_path):
    path = tmp_path / "comparison.md"
    write(path, ABOUT, found)
    path.write_text(path.read_text().replace("Nothing has been written here yet.", "Both are needed."))
    write(path, ABOUT, found)
    assert reading(path.read_text()) == "Both are needed."
    for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text()):
        assert (tmp_path / link).read_text().startswith("<svg")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a toy checkpoint and of another of its lineage."""
    folder = tmp_path_factory.mktemp("models")
    return saved(comparisons.base(), folder / "base"), saved(concept_evaluations.fork(), folder / "fork")


QUICK = ("compare", "--quick", "--concept", "Film number 7", "--people", 4)


def test_the_command_keeps_cells_goes_on_and_writes_a_page(lethe, models, tmp_path):
    words = (*QUICK, "--model", models[0], "--arm", FILTER, "--arm", ERASURE, "--protocol", "together-1")
    few = (*words, "--surface", "served list", "--surface", "answers")
    page = tmp_path / "comparison.md"
    left = lethe(*few, "--minutes", 0)
    assert left.status == 75
    assert "run the same command again" in left.err
    first = lethe.read(*few, "--page", page)
    assert first["cells"]["left"] == 0
    (one,) = first["concepts"]
    assert (one["kind"], one["titles"], one["oracle"]) == ("title", ["Film number 7"], None)
    assert [table["surface"] for table in one["surfaces"]] == ["served list", "served list", "answers"]
    assert "# Which layer forgets what" in page.read_text()
    again = lethe.read(*few)
    assert again["cells"]["measured_now"] == 0
    assert again["concepts"] == first["concepts"]
    assert again["data"] == first["data"]
    shown = said(first)
    assert re.search(r"^served list +\d\.\d{3} +0\.000 ", shown, flags=re.MULTILINE)
    assert "1 people forgotten (ease, together-1)" in shown
    (told,) = lethe.read(*few, "--oracle", f"Film number 7={models[1]}")["concepts"]
    answers = {line["arm"]: line for line in told["surfaces"][-1]["rows"]}
    assert told["oracle"] is not None
    assert answers[NONE]["gap"]["mean"] == answers[NONE]["value"] - answers[ORACLE]["value"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--arm", "both sides"), "arm 'both sides' is unknown"),
        (("--surface", "moon"), "surface 'moon' is unknown"),
        (("--method", "npo-random"), "--method npo-random"),
        (("--method", "wish-guided"), "wish-guided"),
        (("--concept", "Casablanca"), "'Casablanca'"),
        (("--oracle", "Film number 7=nowhere"), "NAME=DIR"),
        (("--backbone", "best"), "backbone 'best' is unknown"),
        (("--protocol", "nobody"), "protocol 'nobody' is unknown"),
        (("--protocol", "interactions-10"), "forgets rows of people who stay"),
        (("--membership", "some"), "canaries 'some' are unknown"),
        (("--split", "mine"), "split 'mine' is unknown"),
        (("--model", "nowhere/at/all"), "no such folder"),
    ],
)
def test_bad_input_is_one_line(lethe, words, line):
    refused = lethe("compare", "--quick", *words)
    assert refused.status == 1
    assert line in refused.err
    assert refused.err.strip().splitlines()[-1].startswith("lethe: ")
