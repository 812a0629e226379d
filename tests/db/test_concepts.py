"""Requests to forget a concept, on SQLite and on a real PostgreSQL server."""

from dataclasses import replace

import pytest

from db import artifacts, concepts, jobs, ledger, purge, requests
from db.concepts import Asked
from db.errors import LetheError
from db.records import ConceptState, ItemId, Layer, Scope, Selection, UserId
from db.schema import concept_requests
from db.schema import ledger as ledger_table
from tests.db.conftest import ALICE, CANARY, NOW
from tests.db.test_store import backbone, read, write

SPACE = Asked("Space", "items", (ItemId("i1"), ItemId("i4")), Layer.BOTH)
OURS = replace(SPACE, user=ALICE)


def accepted(store, asked=SPACE):
    return write(store, concepts.accept, asked, now=NOW)[0]


def adapter(unit, request, scope=Scope.NONE):
    origin = artifacts.Origin(1, scope)
    made = artifacts.register(unit, "adapter", request.id, 1, path=f"a/{request.id}", sha256="0", origin=origin)
    concepts.settle(unit, request.id, made.id, "leak 0.00", at=NOW)
    return made


def listed(store, *people):
    made = write(store, backbone, 1)
    for user in people:
        write(store, jobs.publish, [jobs.StoredList(user, (ItemId("i1"),), (0.9,), ("backbone",))], backbone=made.id)
    return made


def test_a_request_comes_back_as_it_was_accepted(store):
    request = accepted(store)
    assert (request.name, request.kind, request.items) == ("Space", "items", SPACE.items)
    assert (request.state, request.layer, request.user) == (ConceptState.HIDDEN, Layer.BOTH, None)
    assert read(store, concepts.every) == [request]
    assert read(store, concepts.find, "SPACE") == request
    assert read(store, concepts.find, "Space", ALICE) is None


def test_only_what_a_model_is_to_forget_rests_in_accepted(store):
    found = [accepted(store, replace(SPACE, name=layer, layer=layer)) for layer in Layer]
    assert [(r.state.value, r.hides, r.open) for r in found] == [
        ("hidden", True, False),
        ("accepted", False, True),
        ("hidden", True, True),
        ("accepted", False, True),
    ]


@pytest.mark.parametrize("layer", [Layer.RETRIEVAL, Layer.MODEL, Layer.BOTH])
def test_tokens_and_another_layer_do_not_share_a_name(store, layer):
    accepted(store, replace(SPACE, layer=Layer.TOKENS))
    with pytest.raises(LetheError, match="cannot join"):
        accepted(store, replace(SPACE, layer=layer))
    assert accepted(store, replace(SPACE, layer=Layer.TOKENS)).layer is Layer.TOKENS


def test_accepting_takes_what_was_made_before_from_readers(store):
    made = listed(store, ALICE, CANARY)
    job = write(store, jobs.create, {}, backbone=made.id, out="recs.parquet", chunk_size=2)
    origin = artifacts.Origin(1, Scope.ALL, parents=(made.id,))
    file = write(store, artifacts.register, "recommendations", "r", 1, path="r.parquet", sha256="1", origin=origin)
    assert write(store, concepts.accept, OURS, now=NOW)[1] == concepts.Withdrawn(1, 1, 1)
    assert read(store, jobs.stored_list, ALICE) is None
    assert read(store, jobs.stored_list, CANARY) is not None
    assert read(store, artifacts.get, file.id).state == artifacts.REFUSED
    assert read(store, jobs.get, job.id).state == jobs.CANCELLED
    assert write(store, concepts.accept, SPACE, now=NOW)[1] == concepts.Withdrawn(1, 0, 0)


def test_the_same_request_again_is_the_one_that_stands(store):
    first = accepted(store, replace(SPACE, layer=Layer.RETRIEVAL))
    again, taken = write(store, concepts.accept, replace(SPACE, layer=Layer.RETRIEVAL), now=NOW)
    assert (again, taken) == (first, concepts.Withdrawn())
    wider = accepted(store, replace(SPACE, name="space", layer=Layer.MODEL))
    assert (wider.id, wider.layer, wider.state) == (first.id, Layer.BOTH, ConceptState.HIDDEN)
    with pytest.raises(LetheError, match="stands for 2 items"):
        accepted(store, replace(SPACE, items=(ItemId("i1"),)))
    assert accepted(store, OURS).id != first.id


@pytest.mark.parametrize("user", ["nobody", ALICE])
def test_nobody_can_ask_who_is_unknown_or_hidden(store, user):
    write(store, requests.shield, ALICE, Selection(), now=NOW)
    with pytest.raises(LetheError, match=user):
        accepted(store, replace(OURS, user=UserId(user)))
    assert read(store, concepts.every) == []


def test_an_adapter_makes_it_unlearned_and_restoring_retires_it(store):
    request = accepted(store)
    made = write(store, adapter, request)
    found = read(store, concepts.get, request.id)
    assert (found.state, found.adapter, found.detail, found.open) == (
        ConceptState.UNLEARNED,
        made.id,
        "leak 0.00",
        False,
    )
    write(store, concepts.restore, found, at=NOW)
    assert read(store, concepts.every) == []
    assert [a.id for a in read(store, artifacts.retired)] == [made.id]
    with pytest.raises(LetheError, match="restored"):
        write(store, concepts.fail, request.id, "late")
    assert read(store, ledger.verify) == 4


def test_a_failed_gate_leaves_the_state_and_says_why(store):
    request = accepted(store)
    write(store, concepts.fail, request.id, "leak 0.4 is over 0.03")
    found = read(store, concepts.get, request.id)
    assert (found.state, found.detail) == (ConceptState.HIDDEN, "leak 0.4 is over 0.03")


def test_the_ledger_names_neither_concept_nor_person(store):
    request = accepted(store, replace(OURS, name="Unmistakable"))
    write(store, adapter, request, Scope.USER)
    write(store, concepts.restore, read(store, concepts.get, request.id), at=NOW)
    with store.reading() as unit:
        told = repr(unit.connection.execute(ledger_table.select()).all())
    assert told.count(request.id) == 4
    assert "Unmistakable" not in told
    assert ALICE not in told


def test_what_a_person_asked_for_is_hidden_and_dies_with_the_person(store):
    mine, theirs, all_of_us = (accepted(store, replace(SPACE, user=user)) for user in (ALICE, CANARY, None))
    made = write(store, adapter, mine, Scope.USER)
    other = write(store, adapter, theirs, Scope.USER)
    whole = write(store, requests.shield, ALICE, Selection(), now=NOW)
    assert {r.id for r in read(store, concepts.every)} == {theirs.id, all_of_us.id}
    assert [a.id for a in read(store, artifacts.descending, whole.epoch)] == [made.id]
    assert [a.id for a in read(store, concepts.adapters_of, whole.id)] == [made.id]
    write(store, purge.purge, [whole.id])
    with store.reading() as unit:
        left = {row.id for row in unit.connection.execute(concept_requests.select())}
    assert left == {theirs.id, all_of_us.id}
    assert other.id not in {a.id for a in read(store, artifacts.descending, whole.epoch)}


def test_what_nobody_owns_any_more_descends(store):
    """An adapter of one person whose request is gone, and whose bytes are not, keeps the audit from passing."""
    mine = accepted(store, OURS)
    made = write(store, adapter, mine, Scope.USER)
    whole = write(store, requests.shield, ALICE, Selection(), now=NOW)
    write(store, purge.purge, [whole.id])
    assert [a.id for a in read(store, artifacts.descending, whole.epoch)] == [made.id]
