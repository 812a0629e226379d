"""The shield's audit: it passes while everybody is hidden, fails when somebody is seen, is void without control."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from db import artifacts, jobs, requests
from db.load import load_log
from db.records import ItemId, RequestId, Scope, Selection
from db.schema import interactions, users
from db.store import Store
from tests.db.conftest import ALICE, BOB, CANARY, NOW, fill
from unlearning.data.shield import Shield


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "root", create=True)
    fill(opened)
    yield opened
    opened.close()


def shielded(store, user, selection=None):
    with store.writing() as unit:
        made = requests.shield(unit, user, selection or Selection(), now=NOW)
        unit.commit()
    return made


def audited(store, *asked):
    (verdict,) = Shield(store).audit(asked)
    return verdict


def changed(store, statement):
    with store.writing() as unit:
        assert unit.connection.execute(statement).rowcount > 0
        unit.commit()


def outcome(verdict):
    return verdict.passed, verdict.void, verdict.value, verdict.control


def test_a_hidden_person_passes_with_every_row_as_control(store):
    verdict = audited(store, shielded(store, CANARY))
    assert outcome(verdict) == (True, False, 0.0, 4.0)  # three rows and the person
    assert verdict.detail == "1 people, 6 rows of others visible"


def test_the_control_is_rolled_back(store):
    request = shielded(store, CANARY)
    first, second = audited(store, request), audited(store, request)
    assert first == second
    with store.reading() as unit:
        log = load_log(unit)
        assert (log.users, len(log)) == ((ALICE, BOB), 6)
        hidden = unit.connection.scalars(select(interactions.c.hidden_by).where(interactions.c.hidden_by.is_not(None)))
        assert list(hidden) == [request.id] * 3


def test_requests_are_audited_together(store):
    whole, part = shielded(store, CANARY), shielded(store, ALICE, Selection(items=(ItemId("i1"), ItemId("i4"))))
    verdict = audited(store, whole, part)
    assert outcome(verdict) == (True, False, 0.0, 6.0)
    assert verdict.detail == "1 people, 4 rows of others visible"


def test_part_of_a_persons_rows_leaves_the_person_visible_and_passes(store):
    assert outcome(audited(store, shielded(store, ALICE, Selection(categories=("crime",))))) == (True, False, 0.0, 1.0)


def test_a_hidden_person_with_a_stored_list_fails(store):
    """The control holds, so this is a failure and not a void audit."""
    request = shielded(store, CANARY)
    with store.writing() as unit:
        origin = artifacts.Origin(1, Scope.ALL)
        path = artifacts.folder("backbone", "ease", 1)
        made = artifacts.register(unit, "backbone", "ease", 1, path=path, sha256="0" * 64, origin=origin)
        jobs.publish(unit, [jobs.StoredList(CANARY, (ItemId("i3"),), (0.5,), ("backbone",))], backbone=made.id)
        unit.commit()
    assert outcome(audited(store, request)) == (False, False, 1.0, 4.0)


def test_a_hidden_person_visible_again_does_not_pass(store):
    request = shielded(store, CANARY)
    for table in (interactions, users):
        changed(store, table.update().where(table.c.hidden_by == request.id).values(hidden_by=None))
    verdict = audited(store, request)
    assert not verdict.passed
    assert verdict.value == 1.0


def test_the_person_alone_visible_again_does_not_pass(store):
    request = shielded(store, CANARY)
    changed(store, users.update().where(users.c.hidden_by == request.id).values(hidden_by=None))
    assert outcome(audited(store, request)) == (False, True, 1.0, 3.0)


def test_one_row_visible_again_does_not_pass(store):
    """Nobody can be seen, but the control misses a row: the audit is void."""
    request = shielded(store, ALICE)
    with store.reading() as unit:
        user, item = unit.connection.execute(
            select(interactions.c.user, interactions.c.item).where(interactions.c.hidden_by == request.id).limit(1)
        ).one()
    row = (interactions.c.user == user) & (interactions.c.item == item)
    changed(store, interactions.update().where(row).values(hidden_by=None))
    assert outcome(audited(store, request)) == (False, True, 0.0, 3.0)


def test_rows_that_another_request_hides_are_no_control(store):
    request = shielded(store, CANARY)
    other = shielded(store, BOB)
    changed(store, interactions.update().where(interactions.c.hidden_by == request.id).values(hidden_by=other.id))
    verdict = audited(store, request)
    assert (verdict.passed, verdict.void) == (False, True)


def test_without_its_control_the_audit_is_void(store):
    """A request that hides nothing cannot be told from an audit that sees nothing."""
    request = shielded(store, CANARY)
    assert outcome(audited(store, replace(request, id=RequestId("r0")))) == (False, True, 0.0, 0.0)
    assert outcome(audited(store)) == (False, True, 0.0, 0.0)
    assert audited(store, request).passed


def test_the_receipt_claims_no_more_than_hiding(store):
    request = shielded(store, CANARY)
    (receipt,) = Shield(store).forget([request])
    assert (receipt.request, receipt.layer, receipt.action, receipt.exact) == (request.id, "db", "hide", False)
    assert receipt.detail == "3 rows hidden"
