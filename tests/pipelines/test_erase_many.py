"""Many open requests cost what one costs: one fit or one update, one new generation, one VACUUM."""

from collections import Counter

import pytest
from sqlalchemy import Engine, event

from db import artifacts
from recsys.ease import Ease, EaseFitter
from recsys.recbole_models import RecBoleFitter
from tests.pipelines.commands import PEOPLE, THIRD, Lethe, erased, forgotten, history, subjects_file
from unlearning.data.influence import InfluenceUnlearner

LATE = PEOPLE[30]


@pytest.fixture
def spent(monkeypatch):
    """Counts what is expensive, and calls it all the same."""
    counted: Counter[str] = Counter()

    def counting(owner, method, name):
        real = getattr(owner, method)

        def wrapped(*given, **named):
            counted[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(owner, method, wrapped)

    counting(Ease, "replace", "update")
    counting(EaseFitter, "fit", "fit")
    counting(RecBoleFitter, "fit", "fit")
    counting(InfluenceUnlearner, "forget", "step")

    def heard(_connection, _cursor, statement, *_rest):
        counted["vacuum"] += statement.strip().upper() == "VACUUM"

    event.listen(Engine, "before_cursor_execute", heard)
    yield counted
    event.remove(Engine, "before_cursor_execute", heard)


def ten_asked(lethe: Lethe) -> list[str]:
    """Ten requests: two about some rows of one person, the others about whole people."""
    somebody, *others = PEOPLE[10:19]
    first, second, *_ = history(lethe, somebody).items
    parts = [forgotten(lethe, somebody, "--item", item) for item in (first, second)]
    return parts + [forgotten(lethe, user) for user in others]


def backbones(lethe: Lethe, name: str) -> list[int]:
    """Generations on disk."""
    with lethe.store.reading() as unit:
        return [a.generation for a in artifacts.all_on_disk(unit) if (a.kind, a.name) == ("backbone", name)]


def test_ten_requests_are_one_downdate(lethe, spent):
    ids = ten_asked(lethe)
    assert len(ids) == 10
    spent.clear()
    documents = erased(lethe)
    assert spent == {"update": 1, "vacuum": 1, "fit": 1}  # the fit is on training rows, to choose the quota
    assert backbones(lethe, "ease") == [2]
    assert sorted(document["request"] for document in documents) == sorted(ids)
    told = {r["detail"] for document in documents for r in document["receipts"] if r["action"] == "downdate"}
    assert len(told) == 1
    assert all(lethe("verify", request).status == 0 for request in ids)


def test_ten_requests_are_one_retraining(bpr, spent):
    forgotten(bpr, THIRD)
    spent.clear()
    erased(bpr)
    one = dict(spent)
    ids = ten_asked(bpr)
    spent.clear()
    assert len(erased(bpr, "--method", "retrain")) == len(ids) == 10
    assert spent == one == {"fit": 2, "vacuum": 1}  # to choose, and to serve
    assert backbones(bpr, "bpr") == [3]


def test_ten_requests_are_one_step(bpr, spent):
    ids = ten_asked(bpr)
    spent.clear()
    done = bpr.read("erase", "--method", "ifru", "--certificate", subjects_file(bpr))
    assert sorted(done["reduced"]) == sorted(ids)
    assert spent == {"step": 1, "fit": 3, "vacuum": 0}  # the fits are the audit's oracles; nothing is purged
    assert backbones(bpr, "bpr") == [2]


def test_a_request_during_the_downdate_is_in_the_generation_that_it_makes(lethe, monkeypatch):
    """And is ended by the next erase, which finds nothing left to make."""
    real, late = Ease.replace, []

    def replace(model, *given):
        if not late:
            late.append(None)
            late.append(forgotten(lethe, LATE))
        return real(model, *given)

    monkeypatch.setattr(Ease, "replace", replace)
    first = forgotten(lethe, THIRD)
    (document,) = erased(lethe)
    assert document["request"] == first
    assert lethe("recommend", LATE).status == 1
    with lethe.store.reading() as unit:
        assert artifacts.live(unit, "backbone", "ease").data_epoch == 3
    assert [s["request"]["state"] for s in lethe.read("status")["standings"]] == ["erased", "shielded"]
    (document,) = erased(lethe)
    assert document["request"] == late[1]
    assert backbones(lethe, "ease") == [2]
    lethe.ok("verify", late[1])


def test_a_request_during_a_retraining_is_worked_on_by_the_next_erase(bpr, monkeypatch, spent):
    """What was read before it came descends from its rows: that set is made again, and nobody is closed too early."""
    real, late = RecBoleFitter.fit, []

    def fit(fitter, log, **how):
        if not late:
            late.append(None)
            late.append(forgotten(bpr, LATE))
        return real(fitter, log, **how)

    monkeypatch.setattr(RecBoleFitter, "fit", fit)
    first = forgotten(bpr, THIRD)
    (document,) = erased(bpr)
    assert document["request"] == first
    assert bpr("recommend", LATE).status == 1
    with bpr.store.reading() as unit:
        assert artifacts.live(unit, "backbone", "bpr").data_epoch == 2
    assert {s["request"]["state"] for s in bpr.read("status")["standings"]} == {"erased", "shielded"}
    spent.clear()
    (document,) = erased(bpr)
    assert document["request"] == late[1]
    assert spent == {"fit": 2, "vacuum": 1}
    assert all(bpr("verify", request).status == 0 for request in (first, late[1]))
