"""What `--audit full` finds out about a model, where it is told, and that it gates nothing."""

import json
from dataclasses import replace

import pytest

from db import artifacts
from pipelines import models, train
from pipelines.training import audits
from tests.pipelines.commands import PEOPLE, SOMEBODY, THIRD, erased, forgotten, history, ingest_words, subjects_file

SIX = PEOPLE[10:16]
MEMBERSHIP = ("membership", "membership-tpr")
LISTS = tuple(f"oracle-{metric} {who}" for metric in ("rbo", "jaccard@10") for who in ("neighbours", "strangers"))


def named(names, backbone):
    return {f"{name} {backbone}" for name in names}


def audited(document):
    return {audit["audit"]: audit for audit in document["audits"]}


def six_forgotten(lethe):
    lethe.ok("forget", "user", "-", stdin="\n".join(SIX).encode())


def settings_of(lethe, name):
    with lethe.store.reading() as unit:
        return artifacts.live(unit, "backbone", name).settings


@pytest.fixture
def forgets_nothing(monkeypatch):
    """An erase whose new model is the old one."""
    real = train.build

    def build(store, plan, *, ready=None, audit=None, **how):
        with store.reading() as unit:
            backbone = artifacts.live(unit, "backbone", plan.backbone)
        old = models.load(plan.backbone, store.root / backbone.path)
        return real(store, plan, ready=replace(ready, model=old), audit=audit, **how)

    monkeypatch.setattr("pipelines.rebuild.build", build)


def test_a_downdate_is_as_near_as_rounding_and_every_control_is_told(lethe):
    six_forgotten(lethe)
    documents = erased(lethe, "--audit", "full")
    found = audited(documents[0])
    assert {"lineage", "shield", "residue", "ease-residual"} <= set(found)
    own = named(("oracle-scores", *MEMBERSHIP, "versions"), "ease")
    assert own <= set(found)
    scores = found["oracle-scores ease"]
    assert scores["passed"]
    assert scores["control"] > 1000 * scores["limit"]
    assert all({"value", "limit", "oracle", "control"} <= set(found[name]) for name in own)
    assert found["membership ease"]["passed"]
    assert audited(documents[5]).keys() == found.keys()
    told = lethe.ok("verify", documents[0]["request"], "--certificate", subjects_file(lethe)).out
    assert "recorded oracle-scores ease" in told
    assert f"oracle {scores['oracle']:g}" in told
    assert "all 1 generations from before the request are destroyed" in told


def test_a_model_that_forgot_nothing_does_not_pass(lethe, forgets_nothing, monkeypatch):
    monkeypatch.setattr("pipelines.erase.residual_verdict", lambda *_, **__: [])
    monkeypatch.setattr(audits, "_beside", lambda *_, **__: [])  # not looked at here
    six_forgotten(lethe)
    (document, *_) = erased(lethe, "--audit", "full")
    scores = audited(document)["oracle-scores ease"]
    assert (scores["passed"], scores["void"]) == (False, False)
    assert scores["value"] == scores["control"]
    checks = {check["name"]: check for check in lethe.read("verify", document["request"])}
    assert not checks["recorded oracle-scores ease"]["passed"]
    assert "over its limit" in checks["recorded oracle-scores ease"]["detail"]


def test_few_people_are_too_few_for_the_version_audit_and_it_says_so(sisa):
    item, *_ = history(sisa, THIRD).items
    forgotten(sisa, SOMEBODY)
    request = forgotten(sisa, THIRD, "--item", item)
    (document, _) = erased(sisa, "--audit", "full")
    found = audited(document)
    assert named((*LISTS, *MEMBERSHIP), "bpr") <= set(found)
    assert found["versions bpr"]["void"]
    assert "not run: 1 forgotten" in found["versions bpr"]["detail"]
    assert {audit["audit"] for audit in settings_of(sisa, "bpr")["audits"]} == set(found) - {
        "lineage",
        "shield",
        "residue",
    }
    checks = {check["name"]: check for check in sisa.read("verify", request)}
    assert (checks["recorded versions bpr"]["passed"], checks["recorded versions bpr"]["binding"]) == (False, False)
    assert "told" in sisa.ok("verify", request).out


def test_a_reduction_can_be_audited_in_full_and_an_exact_erase_after_it_too(empty, data_folder, few_epochs):
    empty.ok(*ingest_words(data_folder))
    empty.ok("train", "--backbone", "bpr", "--scorer", "off")
    six_forgotten(empty)
    done = empty.read("erase", "--method", "scif", "--audit", "full", "--certificate", subjects_file(empty))
    assert len(done["reduced"]) == len(SIX)
    held = json.loads(subjects_file(empty).read_text())["certificates"]
    assert named((*LISTS, *MEMBERSHIP, "versions"), "bpr") | {"shield"} == set(audited(held[0]))
    documents = erased(empty)
    assert set(audited(documents[0])) == {"lineage", "shield", "residue"}


def test_by_default_no_oracle_is_trained(sisa, monkeypatch):
    monkeypatch.setattr(audits, "audited", None)
    forgotten(sisa, SOMEBODY)
    (document,) = erased(sisa)
    assert set(audited(document)) == {"lineage", "shield", "residue"}
    assert "audits" not in settings_of(sisa, "bpr")


def test_rows_that_came_since_leave_nothing_to_compare_and_it_says_so(lethe, tmp_path, data_folder):
    more = tmp_path / "more.csv"
    more.write_text("user_id,item_id,rating,timestamp\nnewcomer,f00,4,900000000\nnewcomer,f03,5,900000001\n")
    lethe.ok("ingest", "files", "--interactions", more, "--items", data_folder / "items.csv")
    request = forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe, "--audit", "full")
    assert audited(document)["models ease"]["void"]
    assert "rows came since" in audited(document)["models ease"]["detail"]
    lethe.ok("verify", request)


def test_a_full_audit_of_what_was_made_without_one_is_void(lethe):
    request = forgotten(lethe, SOMEBODY)
    note = lethe.root / "note.json"
    note.write_text(f'{{"user": "{SOMEBODY}"}}')
    assert lethe("erase").status == 75
    note.unlink()
    lethe.ok("train", "--backbone", "ease", "--scorer", "off")
    late = forgotten(lethe, THIRD)
    lethe.ok("train", "--backbone", "ease", "--scorer", "off")
    documents = {document["request"]: document for document in erased(lethe, "--audit", "full")}
    assert audited(documents[late])["models"]["void"]
    assert "made without --audit full" in audited(documents[late])["models"]["detail"]
    lethe.ok("verify", request)
    lethe.ok("verify", late)


def test_an_audit_of_another_name_is_refused(lethe):
    refused = lethe("erase", "--audit", "thorough")
    assert (refused.status, "--audit thorough is unknown" in refused.err) == (2, True)
