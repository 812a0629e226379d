"""Backbones in shards: what was not touched stays bit for bit, and what a person was in never does."""

import shutil

import numpy as np
import pytest

from db import artifacts, catalogue, requests
from db.load import load_log
from db.records import Scope, UserId
from recsys.recbole_models import RecBoleFitter
from recsys.sharded import load_vectors
from recsys.vectors import ItemVectors
from tests.pipelines.commands import (
    OTHER,
    PEOPLE,
    SOMEBODY,
    erased,
    files_under,
    forgotten,
    history,
    ingest_words,
    subjects_file,
)
from unlearning.audit import lineage
from unlearning.data.partition import HashPartition

SHARDS = 4
RULE = HashPartition(SHARDS, "2020")
HIT = RULE.shard_of_user(SOMEBODY)
BESIDE = next(user for user in PEOPLE if user != SOMEBODY and RULE.shard_of_user(user) == HIT)
ELSEWHERE = next(user for user in PEOPLE if RULE.shard_of_user(user) != HIT)


def live(lethe, kind="backbone"):
    with lethe.store.reading() as unit:
        found = [a for a in artifacts.all_on_disk(unit) if a.kind == kind and a.state == artifacts.LIVE]
    return {a.name: a for a in found}


def shards(lethe):
    return {a.settings["shard"]: a for a in live(lethe, "shard").values()}


def parts(lethe):
    return load_vectors(lethe.root / live(lethe)["bpr"].path).item_parts


def files_of(lethe, shard):
    folder = shards(lethe)[shard].path
    return {name: digest for name, digest in files_under(lethe.root).items() if name.startswith(folder)}


def receipts(document):
    return {receipt["artifact"].split()[0]: receipt for receipt in document["receipts"]}


@pytest.fixture
def fitted(monkeypatch):
    """The rows (person, item) of every fit that is made from now on, as outside ids."""
    seen, real = [], RecBoleFitter.fit

    def fit(fitter, log, **how):
        seen.append({(log.users[u], log.items[i]) for u, i in zip(log.user.tolist(), log.item.tolist(), strict=True)})
        return real(fitter, log, **how)

    monkeypatch.setattr(RecBoleFitter, "fit", fit)
    return seen


def visible(lethe, shard):
    with lethe.store.reading() as unit:
        log = load_log(unit)
    rows = zip(log.user.tolist(), log.item.tolist(), strict=True)
    return {(log.users[u], log.items[i]) for u, i in rows if RULE.shard_of_user(log.users[u]) == shard}


def test_every_shard_is_an_artefact_and_the_backbone_is_made_of_them(sisa):
    held = shards(sisa)
    assert sorted(held) == list(range(SHARDS))
    assert {a.scope for a in held.values()} == {Scope.SHARD}
    assert live(sisa)["bpr"].scope is Scope.ALL
    with sisa.store.reading() as unit:
        assert artifacts.parents(unit, live(sisa)["bpr"].id) == sorted(a.id for a in held.values())
    for shard, artifact in held.items():
        alone = ItemVectors.load(sisa.root / artifact.path / "serving")
        assert np.array_equal(alone.item_vectors, parts(sisa)[:, shard])
    assert len(sisa.read("recommend", OTHER)[0]["recommendations"]) == 10


def test_a_preview_tells_of_shards_in_one_line(sisa):
    told = sisa.ok("forget", "user", SOMEBODY, "--dry-run").out
    (line,) = [line for line in told.splitlines() if "shard" in line]
    assert "those that hold the rows trained again, the others kept" in line


@pytest.mark.parametrize("method", [None, "auto", "sisa"])
def test_only_the_shard_that_held_the_rows_is_trained_again(sisa, fitted, method):
    was, files, before = shards(sisa), {n: files_of(sisa, n) for n in range(SHARDS)}, parts(sisa)
    request = forgotten(sisa, SOMEBODY)
    (document,) = erased(sisa, *(["--method", method] if method else []))
    now, after = shards(sisa), parts(sisa)
    for shard in range(SHARDS):
        assert (now[shard].id == was[shard].id) == (shard != HIT)
        assert (files_of(sisa, shard) == files[shard]) == (shard != HIT)
        assert np.array_equal(after[:, shard], before[:, shard]) == (shard != HIT)
    assert now[HIT].data_epoch == 2
    assert now[HIT].seed != was[HIT].seed
    assert not (sisa.root / was[HIT].path).exists()
    assert fitted[0] == visible(sisa, HIT)
    assert fitted[1] < fitted[0]
    assert len(fitted) == 2
    told = receipts(document)
    assert told["backbone/bpr"]["action"] == told[f"shard/bpr-{HIT}"]["action"] == "sisa"
    assert f"shards trained again: {HIT}; kept: " in told["backbone/bpr"]["detail"]
    assert "chosen before this request" in told["backbone/bpr"]["detail"]
    kept = [receipt for name, receipt in told.items() if receipt["action"] == "keep"]
    assert len(kept) == SHARDS - 1
    assert all(receipt["exact"] for receipt in document["receipts"])
    (audit,) = [audit for audit in document["audits"] if audit["audit"] == "lineage"]
    assert audit["passed"]
    assert "3 older shards hold none of the rows" in audit["detail"]
    sisa.ok("verify", request, "--certificate", subjects_file(sisa))
    assert "none of its rows hidden to 2" in sisa.ok("status").out


def test_a_sub_model_is_told_of_nobody_but_its_own_people(sisa, monkeypatch):
    """Else its random start would spread as if those who are forgotten were there."""
    named, real = [], RecBoleFitter.fit

    def fit(fitter, log, **how):
        named.append({RULE.shard_of_user(user) for user in log.users})
        return real(fitter, log, **how)

    monkeypatch.setattr(RecBoleFitter, "fit", fit)
    forgotten(sisa, SOMEBODY)
    erased(sisa)
    assert named == [{HIT}, {HIT}]


def test_many_requests_are_one_fit_of_each_shard_that_they_touch(sisa, fitted):
    item, *_ = history(sisa, BESIDE).items
    ids = [forgotten(sisa, SOMEBODY), forgotten(sisa, BESIDE, "--item", item), forgotten(sisa, ELSEWHERE)]
    assert {document["request"] for document in erased(sisa)} == set(ids)
    assert len(fitted) == 2 * 2
    assert {a.generation for a in shards(sisa).values()} == {1, 2}
    assert all(sisa("verify", request).status == 0 for request in ids)


def test_a_shard_that_outlived_one_request_goes_with_a_later_one(sisa):
    first = forgotten(sisa, SOMEBODY)
    erased(sisa)
    shard = RULE.shard_of_user(ELSEWHERE)
    kept = shards(sisa)[shard]
    second = forgotten(sisa, ELSEWHERE)
    erased(sisa)
    assert not (sisa.root / kept.path).exists()
    assert shards(sisa)[shard].data_epoch == 3
    assert shards(sisa)[HIT].data_epoch == 2
    sisa.ok("verify", first)
    sisa.ok("verify", second)


def test_a_request_during_the_training_of_a_shard_is_in_the_set_that_is_made(sisa, monkeypatch):
    real, late = RecBoleFitter.fit, []

    def fit(fitter, log, **how):
        if not late:
            late.append(None)
            late.append(forgotten(sisa, ELSEWHERE))
        return real(fitter, log, **how)

    monkeypatch.setattr(RecBoleFitter, "fit", fit)
    first = forgotten(sisa, SOMEBODY)
    (document,) = erased(sisa)
    assert document["request"] == first
    with sisa.store.reading() as unit:
        assert live(sisa)["bpr"].data_epoch == catalogue.epoch(unit) == 3
    assert [s["request"]["state"] for s in sisa.read("status")["standings"]] == ["erased", "shielded"]
    (document,) = erased(sisa)
    assert document["request"] == late[1]
    assert live(sisa)["bpr"].generation == 2


def test_rows_that_came_since_make_it_a_training_of_everything(sisa, fitted, few_epochs, tmp_path, data_folder):
    more = tmp_path / "more.csv"
    more.write_text("user_id,item_id,rating,timestamp\nnewcomer,f00,4,900000000\nnewcomer,f03,5,900000001\n")
    sisa.ok("ingest", "files", "--interactions", more, "--items", data_folder / "items.csv")
    request = forgotten(sisa, SOMEBODY)
    (document,) = erased(sisa)
    assert len(fitted) == 1 + 2 * SHARDS
    assert receipts(document)["backbone/bpr"]["action"] == "retrain"
    assert {a.data_epoch for a in shards(sisa).values()} == {3}
    sisa.ok("verify", request)


def test_a_retraining_by_name_keeps_no_shard(sisa, few_epochs):
    forgotten(sisa, SOMEBODY)
    (document,) = erased(sisa, "--method", "retrain")
    assert "4 shards and aggregator of sisa made again" in receipts(document)["backbone/bpr"]["detail"]
    assert {a.generation for a in shards(sisa).values()} == {2}


def test_a_shard_that_everybody_left_is_no_more(sisa):
    whole = [user for user in PEOPLE if RULE.shard_of_user(user) == HIT]
    sisa.ok("forget", "user", "-", stdin="\n".join(whole).encode())
    assert len(erased(sisa)) == len(whole)
    assert sorted(shards(sisa)) == sorted(set(range(SHARDS)) - {HIT})
    assert not parts(sisa)[:, HIT].any()
    assert len(sisa.read("recommend", ELSEWHERE)[0]["recommendations"]) == 10


def test_when_the_last_people_leave_no_shard_stays(sisa):
    sisa.ok("forget", "user", "-", stdin="\n".join(PEOPLE).encode())
    assert len(erased(sisa)) == len(PEOPLE)
    with sisa.store.reading() as unit:
        assert [a.kind for a in artifacts.all_on_disk(unit) if a.scope is not Scope.NONE] == []


@pytest.mark.parametrize("more", [(), ("--shards", 2)], ids=["one model", "fewer shards"])
def test_a_training_otherwise_takes_the_old_shards_away(sisa, few_epochs, more):
    sisa.ok("train", "--backbone", "bpr", "--scorer", "off", *more)
    assert sorted(shards(sisa)) == list(range(more[1] if more else 0))
    assert {name.split("/")[2] for name in files_under(sisa.root) if name.startswith("artifacts/shard")} == {
        f"bpr-{n}" for n in shards(sisa)
    }
    forgotten(sisa, SOMEBODY)
    erased(sisa)


@pytest.mark.parametrize("method", ["downdate", "receraser", "grapheraser", "scif"])
def test_a_method_that_does_not_fit_changes_nothing(sisa, method):
    forgotten(sisa, SOMEBODY)
    before = files_under(sisa.root)
    refused = sisa("erase", "--method", method)
    assert refused.status == 1
    assert f"--method {method} is for " in refused.err
    assert "not for bpr in 4 shards by sisa; use --method sisa or retrain" in refused.err
    assert files_under(sisa.root) == before
    assert sisa.read("status")["standings"][0]["request"]["state"] == "shielded"


@pytest.mark.parametrize("method", ["sisa", "receraser", "grapheraser", "downdate"])
def test_a_model_that_is_not_in_shards_is_not_erased_by_them(bpr, method):
    forgotten(bpr, SOMEBODY)
    before = files_under(bpr.root)
    refused = bpr("erase", "--method", method)
    assert (refused.status, "not for bpr; use --method retrain" in refused.err) == (1, True)
    assert files_under(bpr.root) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--backbone", "ease", "--shards", 3), "--shards 3 is for lightgcn and bpr, not for ease"),
        (("--backbone", "bpr", "--sharding", "sisa"), "splits nothing without shards"),
        (("--backbone", "bpr", "--shards", 3, "--sharding", "slices"), "--sharding is 'slices'"),
        (("--backbone", "bpr", "--shards", -1), "--shards is -1"),
    ],
)
def test_shards_that_cannot_be_are_refused(bpr, words, told):
    before = files_under(bpr.root)
    refused = bpr("train", "--scorer", "off", *words)
    assert (refused.status, told in refused.err) == (1, True)
    assert files_under(bpr.root) == before


@pytest.mark.parametrize("method", ["receraser", "grapheraser"])
def test_partition_and_aggregator_of_rows_are_made_again_and_never_kept(empty, data_folder, few_epochs, method):
    empty.ok(*ingest_words(data_folder))
    empty.ok("train", "--backbone", "bpr", "--shards", 2, "--sharding", method, "--scorer", "off")
    old = live(empty)["bpr"]
    assert (old.scope, shards(empty)) == (Scope.ALL, {})
    assert len(empty.read("recommend", OTHER)[0]["recommendations"]) == 10
    held = {name for name in files_under(empty.root) if "partition" in name}
    assert held == set()
    request = forgotten(empty, SOMEBODY)
    refused = empty("erase", "--method", "sisa")
    assert f"bpr in 2 shards by {method}; use --method {method} or retrain" in refused.err
    (document,) = erased(empty, "--method", method)
    detail = receipts(document)["backbone/bpr"]["detail"]
    assert f"partition, 2 shards and aggregator of {method} made again" in detail
    assert live(empty)["bpr"].seed != old.seed
    assert not (empty.root / old.path).exists()
    empty.ok("verify", request, "--certificate", subjects_file(empty))


def asked(lethe, request):
    with lethe.store.reading() as unit:
        return [requests.get(unit, request)]


def put_back(lethe, folder, old, epoch):
    """An old shard where readers find it, with a record that it holds nothing of any request."""
    shutil.copytree(folder, lethe.root / old.path)
    facts = {**old.settings, artifacts.CLEAR_TO: epoch}
    origin = artifacts.Origin(old.data_epoch, old.scope, settings=facts)
    with lethe.store.writing() as unit:
        artifacts.register(unit, "shard", "old", 1, path=old.path, sha256=old.sha256, origin=origin)
        unit.commit()


def test_a_shard_that_held_the_person_is_found_whatever_was_recorded_of_it(sisa, tmp_path):
    old = shards(sisa)[HIT]
    shutil.copytree(sisa.root / old.path, tmp_path / "backup")
    request = forgotten(sisa, SOMEBODY)
    with sisa.store.reading() as unit:
        known = asked(sisa, request)
        assert [a.id for a in lineage.holding(unit, UserId(SOMEBODY), 2)] == [old.id]
        assert lineage.verdict(sisa.store, known).value > 0
    erased(sisa)
    assert lineage.verdict(sisa.store, known).passed
    put_back(sisa, tmp_path / "backup", old, epoch=2)
    found = lineage.verdict(sisa.store, known)
    assert (found.passed, found.void, found.value) == (False, False, 1.0)
    told = sisa("verify", request, "--certificate", subjects_file(sisa))
    assert (told.status, "FAILED  shards" in told.out) == (1, True)


def test_a_lineage_that_believes_what_is_recorded_of_shards_is_void(sisa, monkeypatch):
    request = forgotten(sisa, SOMEBODY)
    monkeypatch.setattr(lineage, "holding", lambda *_: [])
    assert lineage.verdict(sisa.store, asked(sisa, request)).void
    assert sisa("erase").status == 75


def test_lightgcn_is_trained_in_shards_too(empty, data_folder, few_epochs, fitted):
    empty.ok(*ingest_words(data_folder))
    empty.ok("train", "--backbone", "lightgcn", "--shards", SHARDS, "--scorer", "off")
    request = forgotten(empty, SOMEBODY)
    fitted.clear()
    erased(empty)
    assert fitted[0] == visible(empty, HIT)
    assert len(fitted) == 2
    empty.ok("verify", request)
