"""Requests to forget a concept: accepted and hidden in one transaction, unlearned once an adapter passed its gates.

A request is for everybody, or for one person's requests only: that one dies with the person. The ledger keeps that
there was a request and how many items it had, never its name.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, or_, select, update

from db import artifacts, jobs, ledger
from db.errors import LetheError
from db.records import ConceptId, ConceptRequest, ConceptState, ItemId, Layer, RequestId, UserId
from db.requests import visible_user
from db.schema import concept_requests, forget_requests, recommendations, users
from db.store import Unit

ADAPTER = "adapter"
"""The kind of artefact that makes a language model forget."""

TOKENS = "tokens"
"""The kind that makes the generative recommender forget: ids, trie and decoder, whole."""

_REFUSED = "concept gate failed"
"""The ledger's event of an attempt whose gates did not hold."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A concept as it is asked to be forgotten."""

    name: str
    kind: str
    items: tuple[ItemId, ...]
    layer: Layer
    user: UserId | None = None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was taken from readers because it was made otherwise: lists, files, and batches that were cancelled."""

    lists: int = 0
    files: int = 0
    batches: int = 0


def accept(unit: Unit, asked: Asked, *, now: datetime) -> tuple[ConceptRequest, Withdrawn]:
    """Write a request down and hide its items at once, inside the caller's transaction.

    The same request again is the one that stands, its layer widened where more is asked. Raises LetheError where a
    request of that name has other items, and for a person who is unknown or hidden.
    """
    owner = None if asked.user is None else visible_user(unit, asked.user)
    known = find(unit, asked.name, asked.user)
    if known is None:
        return _accept_new(unit, asked, owner, now), withdraw(unit, owner)
    if set(known.items) != set(asked.items):
        told = (
            f"stands for {len(known.items)} items since {known.accepted_at:%Y-%m-%d}, not for these {len(asked.items)}"
        )
        raise LetheError(f"concept {known.name!r} {told}; `lethe restore concept` takes the old request back first")
    if known.layer is not asked.layer and Layer.TOKENS in (known.layer, asked.layer):
        told = f"concept {known.name!r} is forgotten in layer {known.layer}, which {asked.layer} cannot join"
        raise LetheError(f"{told}; `lethe restore concept` takes it back first")
    if known.layer | asked.layer is known.layer:
        return known, Withdrawn()
    return _widen(unit, known, asked.layer, now), withdraw(unit, owner)


def _accept_new(unit: Unit, asked: Asked, owner: int | None, now: datetime) -> ConceptRequest:
    request = ConceptRequest(
        ConceptId("c" + secrets.token_hex(8)),
        asked.name,
        asked.kind,
        asked.items,
        asked.layer,
        ConceptState.ACCEPTED if asked.layer in (Layer.MODEL, Layer.TOKENS) else ConceptState.HIDDEN,
        now,
        user=asked.user,
    )
    values = {"id": request.id, "user": owner, "name": request.name, "kind": request.kind, "items": list(request.items)}
    state = {"layer": request.layer, "state": request.state, "detail": "", "accepted_at": now}
    unit.connection.execute(concept_requests.insert(), {**values, **state})
    scope = "everybody" if owner is None else "one person"
    ledger.append(unit, "concept accepted", request.id, {"items": len(request.items), "for": scope}, at=now)
    if request.hides:
        _note(unit, "concept hidden", request.id, now)
    return request


def _widen(unit: Unit, known: ConceptRequest, layer: Layer, now: datetime) -> ConceptRequest:
    kept = known.state is ConceptState.UNLEARNED
    state = ConceptState.UNLEARNED if kept else ConceptState.HIDDEN
    _set(unit, known.id, layer=known.layer | layer, state=state)
    if not known.hides:
        _note(unit, "concept hidden", known.id, now)
    return get(unit, known.id)


def settle(unit: Unit, request: ConceptId, adapter: int, detail: str, *, at: datetime) -> Withdrawn:
    """State `unlearned`, by an adapter that the caller registers in the same transaction.

    Raises LetheError where the request was restored, or its person forgotten, meanwhile.
    """
    get(unit, request)
    _set(unit, request, adapter=adapter, state=ConceptState.UNLEARNED, detail=detail)
    _note(unit, "concept unlearned", request, at)
    return withdraw(unit, _owner(unit, request))


def fail(unit: Unit, request: ConceptId, detail: str) -> None:
    """Keep why the last adapter was not registered; the request stays as it is, and open."""
    get(unit, request)
    _set(unit, request, detail=detail)
    _note(unit, _REFUSED, request, datetime.now(UTC))


def refusals(unit: Unit, request: ConceptId) -> int:
    """How often gates have refused what was made for a request: the next attempt needs another seed."""
    return ledger.count(unit, _REFUSED, request)


def restore(unit: Unit, request: ConceptRequest, *, at: datetime) -> None:
    """Take a request back: its items are visible again, and its adapter is retired for the caller to destroy.

    Raises LetheError where another concept's ids were made of this one's: that one has to go first.
    """
    above = _standing_on(unit, request)
    if above is not None:
        told = f"the ids of {above.name!r} were moved after those of {request.name!r}"
        raise LetheError(f"{told}; run `lethe restore concept {above.name!r}` first")
    owner = _owner(unit, request.id)
    unit.connection.execute(delete(concept_requests).where(concept_requests.c.id == request.id))
    artifacts.retire(unit, [] if request.adapter is None else [artifacts.get(unit, request.adapter)])
    _note(unit, "concept restored", request.id, at)
    withdraw(unit, owner)


def reopen(unit: Unit, request: ConceptRequest, detail: str) -> None:
    """State `accepted` again, as what acted for it is gone."""
    _set(unit, request.id, adapter=None, state=ConceptState.ACCEPTED, detail=detail)
    _note(unit, "concept reopened", request.id, datetime.now(UTC))


def retokened(unit: Unit) -> list[ConceptRequest]:
    """Requests of the generative recommender that something acts for, in the order in which ids were moved."""
    found = [r for r in every(unit) if r.layer is Layer.TOKENS and r.adapter is not None]
    return sorted(found, key=lambda request: request.adapter or 0)


def _standing_on(unit: Unit, request: ConceptRequest) -> ConceptRequest | None:
    """The request whose ids were made of those of this one."""
    if request.layer is not Layer.TOKENS or request.adapter is None:
        return None
    later = [r for r in retokened(unit) if r.adapter is not None and r.adapter > request.adapter]
    return next((r for r in later if request.adapter in artifacts.parents(unit, r.adapter or 0)), None)


def withdraw(unit: Unit, owner: int | None) -> Withdrawn:
    """Take from readers what was made before a concept came or went: one person's list, or everybody's; every file
    under the root; and batches that have not ended.
    """
    c = recommendations.c
    lists = delete(recommendations) if owner is None else delete(recommendations).where(c.user == owner)
    told = select(c.user).distinct() if owner is None else select(c.user).where(c.user == owner).distinct()
    people = len(unit.connection.scalars(told).all())
    unit.connection.execute(lists)
    begun = jobs.unfinished(unit)
    for job in begun:
        jobs.set_state(unit, job.id, jobs.CANCELLED)
    return Withdrawn(people, artifacts.refuse(unit, ["recommendations"]), len(begun))


def every(unit: Unit) -> list[ConceptRequest]:
    """All requests, oldest first; those of people whom a request hides are left out, as the people are."""
    c = concept_requests.c
    joined = select(concept_requests, users.c.user_id).join(users, users.c.id == c.user, isouter=True)
    seen = joined.where(or_(c.user.is_(None), users.c.hidden_by.is_(None)))
    return [_record(row) for row in unit.connection.execute(seen.order_by(c.accepted_at, c.id))]


def get(unit: Unit, request: ConceptId) -> ConceptRequest:
    """The request with this id. Raises LetheError where it was restored, or its person forgotten."""
    found = next((known for known in every(unit) if known.id == request), None)
    if found is None:
        raise LetheError(f"the request {request} is gone: its concept was restored, or its person forgotten, meanwhile")
    return found


def find(unit: Unit, name: str, user: UserId | None = None) -> ConceptRequest | None:
    """The request of this name, whatever its case, for everybody or for one person."""
    wanted = (name.casefold(), user)
    return next((known for known in every(unit) if (known.name.casefold(), known.user) == wanted), None)


def adapters_of(unit: Unit, request: RequestId) -> list[artifacts.Artifact]:
    """The adapters, in whatever state, of the person whom a request forgets altogether."""
    c, f = concept_requests.c, forget_requests.c
    joined = select(c.adapter).join(forget_requests, f.user == c.user)
    keys = unit.connection.scalars(joined.where(f.id == request, f.whole_user, c.adapter.is_not(None)))
    return [artifacts.get(unit, key) for key in keys]


def _owner(unit: Unit, request: ConceptId) -> int | None:
    return unit.connection.scalar(select(concept_requests.c.user).where(concept_requests.c.id == request))


def _set(unit: Unit, request: ConceptId, **values: Any) -> None:
    unit.connection.execute(update(concept_requests).where(concept_requests.c.id == request).values(values))


def _note(unit: Unit, event: str, request: ConceptId, at: datetime) -> None:
    ledger.append(unit, event, request, {}, at=at)


def _record(row: Row[Any]) -> ConceptRequest:
    return ConceptRequest(
        ConceptId(row.id),
        row.name,
        row.kind,
        tuple(ItemId(item) for item in row.items),
        Layer(row.layer),
        ConceptState(row.state),
        row.accepted_at,
        user=UserId(row.user_id) if row.user_id else None,
        adapter=row.adapter,
        detail=row.detail,
    )
