"""Membership inference in the harness: shadows are kept one by one, and the model that forgets nothing is found out."""

from dataclasses import replace

import pytest

from db.errors import LetheError
from pipelines.cli.evaluate import told
from pipelines.cli.output import plain
from pipelines.evaluate.run import run
from pipelines.evaluate.shadows import Inquiry
from pipelines.evaluate.summary import summarise
from tests.pipelines.evaluations import grid, lab_of, spying, toy_data

DATA = toy_data(users=60, items=120, each=12)
INQUIRY = Inquiry("planted", canaries=3)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Planted canaries against EASE under three methods."""
    lab = lab_of(tmp_path_factory.mktemp("shadows"), DATA)
    wanted = replace(grid("shield", "downdate"), inquiry=INQUIRY)
    outcome = run(lab, wanted)
    return lab, wanted, outcome, summarise(lab, outcome)


def verdict(document, method, audit="membership"):
    (one,) = [m for m in document["membership"] if m["method"] == method]
    (found,) = [v for v in one["verdicts"] if v["audit"] == audit]
    return found


def test_who_forgets_nothing_is_found_out_and_the_exact_method_is_not(attacked):
    document = attacked[3]
    for method in ("none", "shield"):
        assert not verdict(document, method)["passed"], "the model behind a shield still remembers"
        assert verdict(document, method)["value"] > 0.9
    exact = verdict(document, "downdate")
    assert exact["passed"]
    assert exact["control"] > 0.9
    assert abs(exact["value"] - exact["oracle"]) < 0.1
    (line,) = [one for one in told(plain(document)).splitlines() if one.startswith("membership ") and "shield" in one]
    assert line.endswith("over")


def test_shadows_are_kept_one_by_one(attacked):
    lab, wanted, outcome, document = attacked
    assert len(outcome.shadows) == 3 * INQUIRY.shadows
    assert len({shadow.name for shadow in outcome.shadows}) == len(outcome.shadows)
    again = run(lab, wanted)
    assert (again.done.measured, again.done.left) == (0, 0)
    assert summarise(lab, again)["membership"] == document["membership"]


def test_without_all_shadows_there_is_no_verdict(attacked, tmp_path):
    _, wanted, outcome, _ = attacked
    lab = lab_of(tmp_path, DATA)
    begun = run(lab, wanted, minutes=0)
    assert begun.done.left == len(outcome.specs) + len(outcome.shadows)
    assert summarise(lab, begun)["membership"] == []


def test_methods_of_one_shadow_share_their_plain_fits_and_others_fit_themselves(tmp_path):
    methods, spies = spying()
    lab = lab_of(tmp_path, DATA, methods)
    run(lab, replace(grid("spy"), inquiry=INQUIRY))
    calls = [call for spy in spies for call in spy.calls]
    assert len(calls) == 1 + INQUIRY.shadows
    canaries = {user for before, after, _ in calls[1:] for user in set(before.user) - set(after.user)}
    assert min(canaries) >= len(DATA.log.users), "only invented people are put in and out"


def test_unknown_canaries_are_told():
    with pytest.raises(LetheError, match="canaries 'birds' are unknown: choose people or planted"):
        Inquiry("birds")


def test_generations_beside_each_other_give_people_away_where_nothing_else_changed(tmp_path):
    lab = lab_of(tmp_path, toy_data(users=200, items=60, each=15))
    wanted = replace(grid("downdate", protocols=("users-5", "interactions-10")), versions=True)
    document = summarise(lab, run(lab, wanted))
    assert [(v["method"], v["protocol"]) for v in document["versions"]] == [
        ("none", "users-5"),
        ("downdate", "users-5"),
    ]
    none, exact = document["versions"]
    assert exact["control"] > 0.9, "EASE is deterministic: whoever holds both generations sees the difference"
    assert exact["value"] > 0.9
    assert not exact["passed"]
    assert none["value"] == 0.5
    assert run(lab, wanted).done.measured == 0
    assert "versions" in told(plain(document))
