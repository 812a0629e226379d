"""What `lethe erase --method scif|ifru` leaves: a model that says what it descends from, and an open request."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from sqlalchemy import select

from db import artifacts, catalogue
from db.schema import ledger
from tests.pipelines.commands import OTHER, SOMEBODY, erased, forgotten, history, ingest_words
from tests.pipelines.commands import subjects_file as held_by_subjects


def live(lethe, kind="backbone"):
    with lethe.store.reading() as unit:
        return artifacts.live(unit, kind, "bpr")


def vectors(lethe):
    return load_file(lethe.root / live(lethe).path / "item.safetensors")["item_vectors"]


def reduced(lethe, method="scif"):
    """Reduce; the interim certificates."""
    done = lethe.read("erase", "--method", method, "--certificate", held_by_subjects(lethe))
    assert done["requests"] == []
    held = json.loads(held_by_subjects(lethe).read_text())["certificates"]
    return [document for document in held if document["request"] in done["reduced"]]


def failing(lethe, request, *more):
    return {check["name"] for check in json.loads(lethe("verify", request, "--json", *more).out) if not check["passed"]}


@pytest.mark.parametrize("method", ["scif", "ifru"])
def test_a_reduced_generation_says_what_it_descends_from_and_how_it_was_audited(bpr, method):
    old, was = live(bpr), vectors(bpr)
    request = forgotten(bpr, SOMEBODY)
    (document,) = reduced(bpr, method)
    new = live(bpr)
    assert (new.generation, new.data_epoch) == (old.generation + 1, old.data_epoch)
    assert (new.settings["method"], new.settings["reduced_to"]) == (method, 2)
    assert new.seed != old.seed
    assert np.abs(vectors(bpr) - was).max() > 1e-6
    assert not (bpr.root / old.path).exists()
    assert live(bpr, "popularity").data_epoch == 2
    assert live(bpr, "settings").data_epoch == old.data_epoch
    assert document["grade"] == "reduced"
    made = {receipt["artifact"].split()[0]: receipt for receipt in document["receipts"]}
    assert (made["backbone/bpr"]["action"], made["backbone/bpr"]["exact"]) == (method, False)
    assert "cg_iterations" in made["backbone/bpr"]["detail"]
    assert (made["popularity/bpr"]["exact"], made["settings/bpr"]["action"]) == (True, "keep")
    audits = {audit["audit"]: audit for audit in document["audits"]}
    wanted = {f"oracle-{metric} {who} bpr" for metric in ("rbo", "jaccard@10") for who in ("neighbours", "strangers")}
    assert set(audits) == {"shield", *wanted}
    assert all({"value", "limit", "oracle", "control"} <= set(audits[name]) for name in wanted)
    assert failing(bpr, request) >= {"state", "lineage"}


def test_an_exact_erase_closes_it(bpr):
    request = forgotten(bpr, SOMEBODY)
    reduced(bpr)
    (document,) = erased(bpr)
    assert (document["request"], document["grade"]) == (request, "exact")
    assert all(receipt["exact"] for receipt in document["receipts"])
    assert all(audit["passed"] for audit in document["audits"])
    assert {audit["audit"] for audit in document["audits"]} == {"lineage", "shield", "residue"}
    assert live(bpr).settings["method"] == "retrain"
    assert live(bpr).data_epoch == 2
    bpr.ok("verify", request, "--certificate", held_by_subjects(bpr))
    with bpr.store.reading() as unit:
        assert [entry.event for entry in ledger_of(unit, request)][1:3] == ["shielded", "reduced"]
    assert [
        path.name for path in bpr.root.rglob("*") if path.is_file() and SOMEBODY.encode() in path.read_bytes()
    ] == []


def ledger_of(unit, request):
    return unit.connection.execute(select(ledger).where(ledger.c.request == request).order_by(ledger.c.seq)).all()


def test_the_request_stays_open_hidden_and_due(bpr):
    was = len(history(bpr, SOMEBODY))
    request = forgotten(bpr, SOMEBODY, "--deadline", 1)
    reduced(bpr, "ifru")
    status = bpr.read("status")
    (standing,) = status["standings"]
    assert standing["request"]["state"] == "reduced"
    assert (standing["grade"], standing["methods"]) == ("reduced", ["ifru"])
    assert "rebuild" in standing["steps"]
    assert status["counts"]["hidden"] == was
    assert "reduced by ifru" in bpr.ok("status").out
    assert bpr("recommend", SOMEBODY).status == 1
    with bpr.store.writing() as unit:
        unit.connection.exec_driver_sql("UPDATE forget_requests SET deadline = '2001-01-01 00:00:00.000000'")
        unit.commit()
    late = bpr("status")
    assert (late.status, "OVERDUE" in late.out) == (1, True)
    assert failing(bpr, request) >= {"state"}


def test_verify_knows_a_reduced_request_and_does_not_call_it_erased(bpr):
    request = forgotten(bpr, SOMEBODY)
    reduced(bpr)
    told = bpr("verify", request).out
    assert "grade reduced: `lethe erase` ends it" in told
    assert "bpr by scif" in told
    certificates = held_by_subjects(bpr)
    strict = {name for name in failing(bpr, request, "--certificate", certificates) if not name.startswith("recorded")}
    assert strict == {"state", "lineage", "residue"}
    with bpr.store.writing() as unit:
        unit.connection.exec_driver_sql("UPDATE artifacts SET settings = '{}' WHERE kind = 'backbone'")
        unit.commit()
    assert "reduced" in failing(bpr, request)


def test_lists_are_made_again_and_descend_like_their_model(bpr):
    forgotten(bpr, SOMEBODY)
    assert not (bpr.root / "recommendations.parquet").exists()
    reduced(bpr)
    with bpr.store.reading() as unit:
        lists = artifacts.live(unit, "recommendations")
        assert lists.data_epoch == live(bpr).data_epoch < catalogue.epoch(unit)
    assert (bpr.root / "recommendations.parquet").exists()
    erased(bpr)
    with bpr.store.reading() as unit:
        assert artifacts.live(unit, "recommendations").data_epoch == 2


def test_a_second_run_does_nothing_and_a_later_request_goes_on_from_there(bpr):
    first = forgotten(bpr, SOMEBODY)
    (document,) = reduced(bpr)
    once = live(bpr)
    assert reduced(bpr) == [document]
    assert live(bpr) == once
    item, *_ = history(bpr, OTHER).items
    second = forgotten(bpr, OTHER, "--item", item)
    documents = {one["request"]: one for one in reduced(bpr, "ifru")}
    twice = live(bpr)
    assert (twice.generation, twice.data_epoch, twice.settings["reduced_to"]) == (3, once.data_epoch, 3)
    assert twice.settings["facts"]["rows"] == 1
    assert set(documents) == {first, second}
    assert {one["grade"] for one in documents.values()} == {"reduced"}
    assert sorted(one["request"] for one in erased(bpr)) == sorted([first, second])


def test_what_cannot_be_reduced_is_refused_and_nothing_changes(lethe):
    request = forgotten(lethe, SOMEBODY)
    refused = lethe("erase", "--method", "scif")
    assert (refused.status, "scif is for bpr and lightgcn, not for ease" in refused.err) == (1, True)
    assert lethe.read("status")["standings"][0]["request"]["state"] == "shielded"
    erased(lethe)
    lethe.ok("verify", request)


def test_rows_that_came_since_the_training_are_in_no_model_to_correct(bpr, tmp_path, data_folder):
    more = tmp_path / "more.csv"
    more.write_text("user_id,item_id,rating,timestamp\nnewcomer,f00,4,900000000\nnewcomer,f03,5,900000001\n")
    bpr.ok("ingest", "files", "--interactions", more, "--items", data_folder / "items.csv")
    forgotten(bpr, SOMEBODY)
    refused = bpr("erase", "--method", "scif")
    assert (refused.status, "run `lethe erase`" in refused.err) == (1, True)
    assert live(bpr).generation == 1


def test_a_set_that_was_trained_since_needs_no_reduction(bpr):
    forgotten(bpr, SOMEBODY)
    bpr.ok("train", "--backbone", "bpr", "--scorer", "off")
    refused = bpr("erase", "--method", "scif")
    assert (refused.status, "no live backbone descends from the rows" in refused.err) == (1, True)
    erased(bpr)


def test_a_killed_exact_erase_goes_on_beside_a_reduction(bpr):
    """Residue stops the first erase after its purge; what it began is ended exactly, and the later request reduced."""
    first = forgotten(bpr, SOMEBODY)
    note = bpr.root / "note.json"
    note.write_text(f'{{"user": "{SOMEBODY}"}}')
    assert bpr("erase").status == 75
    note.unlink()
    second = forgotten(bpr, OTHER)
    done = bpr.read("erase", "--method", "scif", "--certificate", held_by_subjects(bpr))
    assert (done["requests"], done["reduced"]) == ([first], [second])
    assert {one["request"]: one["grade"] for one in done["certificates"]} == {first: "exact", second: "reduced"}
    bpr.ok("verify", first)


def test_the_first_grade_is_handed_out_with_the_request(bpr, tmp_path):
    target = tmp_path / "mine.json"
    bpr.ok("forget", "user", SOMEBODY, "--certificate", target)
    (document,) = json.loads(target.read_text())["certificates"]
    assert (document["grade"], document["audits"]) == ("excluded from retrieval", [])
    assert document["subject"]["user"] == SOMEBODY
    assert "models made before the request descend from them" in document["limits"][0]
    assert bpr.read("status")["standings"][0]["grade"] == "excluded from retrieval"
    bpr.ok("erase", "--certificate", target)
    (document,) = json.loads(target.read_text())["certificates"]
    assert document["grade"] == "exact"
    inside = bpr("forget", "user", OTHER, "--certificate", bpr.root / "mine.json")
    assert (inside.status, "inside the root" in inside.err) == (1, True)
    bpr.ok("recommend", OTHER)


def test_lightgcn_is_reduced_too(empty, data_folder):
    empty.ok(*ingest_words(data_folder))
    empty.ok("train", "--backbone", "lightgcn", "--scorer", "off", "--filter", "diversity")
    forgotten(empty, SOMEBODY)
    (document,) = reduced(empty, "ifru")
    actions = {receipt["artifact"].split()[0]: receipt["action"] for receipt in document["receipts"]}
    assert actions["backbone/lightgcn"] == "ifru"
    assert actions["hit-rate/lightgcn"] == actions["settings/lightgcn"] == "keep"
    assert len(empty.read("recommend", OTHER)[0]["recommendations"]) > 0
    (document,) = erased(empty)
    assert document["grade"] == "exact"
