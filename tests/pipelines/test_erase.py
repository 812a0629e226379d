"""What `lethe erase` leaves behind: models that never saw the rows, no older generation, nobody brought back."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from db import artifacts, requests
from db.load import load_log
from db.records import Scope
from recsys.ease import EaseFitter, EaseSettings
from tests.pipelines.commands import (
    OTHER,
    PEOPLE,
    SOMEBODY,
    THIRD,
    erased,
    files_under,
    forgotten,
    history,
    ingest_words,
)
from unlearning.audit import lineage


def live(lethe, kind="backbone"):
    with lethe.store.reading() as unit:
        return artifacts.live(unit, kind, "ease")


def distance_to_refit(lethe, folder):
    """Largest difference between the live EASE's P on disk and that of a fit on exactly the visible rows."""
    model = live(lethe)
    with lethe.store.reading() as unit:
        log = load_log(unit)
    folder.mkdir(parents=True)
    EaseFitter(EaseSettings(model.settings["regularisation"])).fit(log).save(folder)
    ours, theirs = (load_file(where / "item.safetensors") for where in (lethe.root / model.path, folder))
    return float(np.abs(ours["p_lower"] - theirs["p_lower"]).max())


def actions(document):
    return {receipt["artifact"].split()[0]: receipt["action"] for receipt in document["receipts"]}


def detail(document, action):
    return next(receipt["detail"] for receipt in document["receipts"] if receipt["action"] == action)


@pytest.mark.parametrize("method", [None, "downdate", "retrain"])
def test_the_new_backbone_is_the_one_fitted_on_the_survivors(lethe, tmp_path, method):
    old = live(lethe)
    forgotten(lethe, SOMEBODY)
    assert distance_to_refit(lethe, tmp_path / "before") > 1e-4
    (document,) = erased(lethe, *(["--method", method] if method else []))
    new = live(lethe)
    assert distance_to_refit(lethe, tmp_path / "after") <= 1e-9
    assert (new.generation, new.data_epoch) == (old.generation + 1, 2)
    assert new.seed != old.seed
    assert actions(document)["backbone/ease"] == (method or "downdate")
    if method != "retrain":
        assert f"frozen: λ = {old.settings['regularisation']}, chosen before" in detail(document, "downdate")


def test_requests_of_several_people_share_one_rebuild(lethe, tmp_path):
    first, second, *_ = history(lethe, THIRD).items
    ids = [forgotten(lethe, SOMEBODY), forgotten(lethe, OTHER), forgotten(lethe, THIRD, "--item", first)]
    ids.append(forgotten(lethe, THIRD, "--item", second))
    documents = erased(lethe)
    assert sorted(document["request"] for document in documents) == sorted(ids)
    assert live(lethe).generation == 2
    assert {actions(document)["backbone/ease"] for document in documents} == {"downdate"}
    assert distance_to_refit(lethe, tmp_path / "refit") <= 1e-9
    for request in ids:
        lethe.ok("verify", request)


def test_rows_that_came_between_training_and_request_make_it_a_fit(lethe, tmp_path, data_folder):
    """The old model never saw them, so it cannot be corrected by what the request hides alone."""
    more = tmp_path / "more.csv"
    more.write_text("user_id,item_id,rating,timestamp\nnewcomer,f00,4,900000000\nnewcomer,f03,5,900000001\n")
    lethe.ok("ingest", "files", "--interactions", more, "--items", data_folder / "items.csv")
    forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe, "--method", "downdate")
    assert actions(document)["backbone/ease"] == "retrain"
    assert distance_to_refit(lethe, tmp_path / "refit") <= 1e-9


def test_older_generations_are_gone_from_the_disk(lethe):
    before = {name for name in files_under(lethe.root) if "gen-00001" in name}
    forgotten(lethe, SOMEBODY)
    erased(lethe)
    left = {name for name in files_under(lethe.root) if "gen-00001" in name}
    assert {name.split("/")[1] for name in before} == {"backbone", "popularity", "settings", "text-index"}
    assert {name.split("/")[1] for name in left} == {"text-index"}
    with lethe.store.reading() as unit:
        assert {a.state for a in artifacts.all_on_disk(unit)} == {artifacts.LIVE}


@pytest.mark.parametrize("registered", [False, True])
def test_an_old_generation_that_is_put_back_is_found(lethe, tmp_path, registered):
    old = live(lethe)
    shutil.copytree(lethe.root / old.path, tmp_path / "backup")
    request = forgotten(lethe, SOMEBODY)
    erased(lethe)
    with lethe.store.reading() as unit:
        asked = [requests.get(unit, request)]
    assert lineage.verdict(lethe.store, asked).passed
    shutil.copytree(tmp_path / "backup", lethe.root / old.path)
    if registered:
        with lethe.store.writing() as unit:
            origin = artifacts.Origin(old.data_epoch, old.scope)
            artifacts.register(unit, "backbone", "old", 1, path=old.path, sha256=old.sha256, origin=origin)
            unit.commit()
    found = lineage.verdict(lethe.store, asked)
    assert (found.passed, found.void, found.value) == (False, False, 1.0)
    refused = lethe("verify", request)
    assert refused.status == 1
    assert "FAILED  lineage" in refused.out


def test_the_same_source_brings_nobody_back_unless_readmitted(lethe, tmp_path, data_folder):
    was, rows = history(lethe, SOMEBODY), history(lethe, OTHER)
    first, *_ = rows.items
    forgotten(lethe, SOMEBODY)
    forgotten(lethe, OTHER, "--item", first)
    erased(lethe)
    again = lethe.read(*ingest_words(data_folder))
    assert (again["suppressed_users"], again["suppressed"], again["added"]) == (1, len(was) + 1, 0)
    assert lethe("recommend", SOMEBODY).status == 1
    assert set(history(lethe, OTHER).items) == set(rows.items) - {first}
    (tmp_path / "back").write_text(SOMEBODY + "\n")
    back = lethe.read(*ingest_words(data_folder), "--readmit", tmp_path / "back")
    assert (back["users_added"], back["added"], back["suppressed"]) == (1, len(was), 1)
    assert history(lethe, SOMEBODY) == was


def test_without_a_request_nothing_is_done(lethe):
    before = files_under(lethe.root)
    assert "nothing to erase" in lethe.ok("erase").out
    assert lethe.read("erase") == {"requests": [], "reduced": [], "interactions_deleted": 0, "certificates": []}
    assert files_under(lethe.root) == before


def test_a_store_without_a_model_erases_too(empty, data_folder):
    empty.ok(*ingest_words(data_folder))
    request = forgotten(empty, SOMEBODY)
    (document,) = erased(empty)
    assert actions(document) == {"interactions": "hide"}
    empty.ok("verify", request, "--certificate", empty.root.parent / "subjects.json")


def test_residue_that_somebody_left_keeps_the_request_open_until_it_is_gone(lethe):
    request = forgotten(lethe, SOMEBODY)
    note = lethe.root / "note.json"
    note.write_text(f'{{"user": "{SOMEBODY}"}}')
    unfinished = lethe("erase")
    assert (unfinished.status, unfinished.out) == (75, "")
    assert "audit residue did not pass" in unfinished.err
    assert "note.json" in unfinished.err
    assert lethe.read("status")["standings"][0]["steps"] == ["scrub", "certify"]
    assert lethe("verify", request).status == 1
    note.unlink()
    (document,) = erased(lethe)
    assert document["subject"]["user"] == SOMEBODY
    lethe.ok("verify", request)


def test_everything_that_must_be_gone_was_there_before(lethe):
    """The control of all of the above: the id is in the root's bytes, and then it is not."""

    def holding():
        files = [path for path in lethe.root.rglob("*") if path.is_file()]
        return [path.name for path in files if SOMEBODY.encode() in path.read_bytes()]

    lethe.ok("recommend", "--all")
    assert "lethe.db" in holding()
    forgotten(lethe, SOMEBODY)
    erased(lethe)
    assert holding() == []
    assert len(PEOPLE) - 1 == lethe.read("status")["counts"]["users"]


def test_when_the_last_people_leave_no_model_stays(lethe, tmp_path):
    everybody = "\n".join(PEOPLE)
    assert lethe("forget", "user", "-", stdin=everybody.encode()).status == 0
    done = lethe("erase", "--certificate", tmp_path / "c.json", "--json")
    assert (done.status, len(done.json["requests"])) == (0, len(PEOPLE))
    with lethe.store.reading() as unit:
        assert [a.kind for a in artifacts.all_on_disk(unit) if a.scope is not Scope.NONE] == []
        assert len(load_log(unit)) == 0
    refused = lethe("recommend", "--all")
    assert refused.status == 1
    assert "nothing is trained" in refused.err


@pytest.mark.parametrize("kind", ["<i8", "<i4"])
def test_the_history_of_a_whole_person_is_looked_for_as_an_array(lethe, kind):
    with lethe.store.reading() as unit:
        log = load_log(unit)
    rows = log.histories()[log.users.index(SOMEBODY)]
    request = forgotten(lethe, SOMEBODY)
    cached = lethe.root / "batch.npy"
    np.save(cached, np.array([0, *rows.tolist(), 0], dtype=kind))
    refused = lethe("erase")
    assert (refused.status, "residue" in refused.err) == (75, True)
    assert "batch.npy: bytes of a person's traces" in refused.err
    cached.unlink()
    (document,) = erased(lethe)
    assert "history" not in document
    kept = (lethe.root / "certificates" / f"{request}.json").read_text()
    assert "history" not in kept
    lethe.ok("verify", request, "--certificate", lethe.root.parent / "subjects.json")
