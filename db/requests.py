"""Forget requests: accepted and shielded in one transaction, then followed step by step to erased."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, select, update

from db import artifacts, catalogue, ledger, suppression
from db.erasure import KINDS, Rule
from db.errors import LetheError
from db.records import ForgetRequest, ItemId, Receipt, RequestId, Selection, State, UserId, Verdict
from db.schema import forget_requests, forget_steps, interactions, items, receipts, recommendations, users, verdicts
from db.store import Unit

STEPS = ("hide", "rebuild", "audit", "purge", "scrub", "certify")
"""What a request passes, in order. "hide" is done in the transaction that accepts it."""

_OPEN = (State.ACCEPTED, State.SHIELDED, State.REDUCED)


def rows_of(unit: Unit, user: UserId, selection: Selection) -> tuple[int, list[tuple[int, ItemId]]]:
    """The person's surrogate key and the visible rows that a selection names, as (item key, item id).

    Raises LetheError when the person is unknown or hidden, and when the selection names no row.
    """
    key = visible_user(unit, user)
    i = interactions.c
    statement = select(i.item, items.c.item_id, items.c.genres).join(items, items.c.id == i.item)
    found = unit.connection.execute(statement.where(i.user == key, i.hidden_by.is_(None), *_before(selection))).all()
    wanted = [(item, ItemId(outside)) for item, outside, genres in found if _named(selection, outside, genres)]
    matched = {item for _, item in wanted} | {g.casefold() for _, _, genres in found for g in genres}
    idle = [
        name
        for name in (*selection.items, *selection.categories)
        if name not in matched and name.casefold() not in matched
    ]
    if idle or (not wanted and not selection.whole_user):
        what = ", ".join(idle) or describe(selection)
        raise LetheError(f"user {user}: no visible interaction matches {what}; nothing was changed")
    return key, wanted


def shield(
    unit: Unit, user: UserId, selection: Selection, *, now: datetime, deadline: timedelta = timedelta(days=30)
) -> ForgetRequest:
    """Accept a request and hide its rows from every reader, inside the caller's transaction.

    Hidden rows stop existing for `load_log`; the person's stored recommendations are deleted, Parquet files under the
    root are refused, and the rows are suppressed against a later ingest.
    """
    key, wanted = rows_of(unit, user, selection)
    request = RequestId("r" + secrets.token_hex(8))
    epoch = catalogue.bump_epoch(unit)
    values = {
        "id": request,
        "user": key,
        "user_id": user,
        "selection": _selection_json(selection),
        "salt": secrets.token_hex(32),
        "whole_user": selection.whole_user,
        "state": State.SHIELDED,
        "epoch": epoch,
        "rows": len(wanted),
        "accepted_at": now,
        "deadline": now + deadline,
    }
    unit.connection.execute(forget_requests.insert(), values)
    _hide(unit, request, key, [item for item, _ in wanted], whole=selection.whole_user)
    suppression.suppress(unit, request, user, None if selection.whole_user else [item for _, item in wanted])
    refused = artifacts.refuse(unit, [kind.name for kind in KINDS.values() if kind.rule is Rule.REWRITTEN])
    steps = [{"request": request, "name": name, "position": n} for n, name in enumerate(STEPS)]
    unit.connection.execute(forget_steps.insert(), steps)
    ledger.append(unit, "accepted", request, {"rows": len(wanted), "epoch": epoch}, at=now)
    mark_step(unit, [request], "hide", {"files_refused": refused}, event="shielded", at=now)
    return get(unit, request)


def get(unit: Unit, request: str) -> ForgetRequest:
    """The request with this id. Raises LetheError for an unknown one."""
    row = unit.connection.execute(select(forget_requests).where(forget_requests.c.id == request)).first()
    if row is None:
        raise LetheError(f"there is no request {request}; `lethe status` lists them all")
    return _record(row)


def every(unit: Unit) -> list[ForgetRequest]:
    """All requests, oldest first."""
    rows = unit.connection.execute(select(forget_requests).order_by(forget_requests.c.epoch))
    return [_record(row) for row in rows]


def pending(unit: Unit) -> list[ForgetRequest]:
    """Requests that are not erased yet, oldest first."""
    return [request for request in every(unit) if request.state in _OPEN]


def steps_open(unit: Unit, request: RequestId) -> list[str]:
    """Names of the steps not done yet, in order."""
    c = forget_steps.c
    statement = select(c.name).where(c.request == request, c.done_at.is_(None)).order_by(c.position)
    return list(unit.connection.scalars(statement))


def mark_step(
    unit: Unit,
    requests: Iterable[RequestId],
    step: str,
    payload: dict[str, Any],
    *,
    event: str | None = None,
    at: datetime | None = None,
) -> None:
    """Mark a step done, with its ledger entry, in the caller's transaction. Done twice changes nothing."""
    at = at or datetime.now(UTC)
    c = forget_steps.c
    for request in requests:
        open_step = and_(c.request == request, c.name == step, c.done_at.is_(None))
        if unit.connection.execute(update(forget_steps).where(open_step).values(done_at=at)).rowcount:
            ledger.append(unit, event or step, request, payload, at=at)


def reduce(unit: Unit, requests: Iterable[RequestId], payload: dict[str, Any], *, at: datetime) -> None:
    """State `reduced`, with its ledger entry, in the caller's transaction: the requests stay open, their rows hidden.

    No step is done by it: an exact erase passes them all. A request that is reduced already stays as it is.
    """
    c = forget_requests.c
    for request in requests:
        shielded = and_(c.id == request, c.state == State.SHIELDED)
        if unit.connection.execute(update(forget_requests).where(shielded).values(state=State.REDUCED)).rowcount:
            ledger.append(unit, "reduced", request, payload, at=at)


def drop_evidence(unit: Unit, requests: Iterable[RequestId]) -> None:
    """Delete receipts and audits of generations that are about to be replaced; the ledger keeps that they were."""
    for request in requests:
        for table in (receipts, verdicts):
            unit.connection.execute(delete(table).where(table.c.request == request))


def add_receipt(unit: Unit, receipt: Receipt) -> None:
    """Store what one layer did."""
    values = {
        "request": receipt.request,
        "layer": receipt.layer,
        "action": receipt.action,
        "artifact": receipt.artifact,
    }
    rest = {"exact": receipt.exact, "seconds": receipt.seconds, "detail": receipt.detail, "at": receipt.at}
    unit.connection.execute(receipts.insert(), {**values, **rest})


def receipts_of(unit: Unit, request: RequestId) -> list[Receipt]:
    """The receipts of a request, in the order they were written."""
    rows = unit.connection.execute(select(receipts).where(receipts.c.request == request).order_by(receipts.c.id))
    return [
        Receipt(RequestId(r.request), r.layer, r.action, r.artifact, r.exact, r.seconds, r.detail, r.at) for r in rows
    ]


def add_verdict(unit: Unit, request: RequestId, verdict: Verdict) -> None:
    """Store the outcome of an audit; an earlier outcome of the same audit is replaced."""
    c = verdicts.c
    unit.connection.execute(delete(verdicts).where(c.request == request, c.audit == verdict.audit))
    values = {"request": request, "audit": verdict.audit, "value": verdict.value, "limit": verdict.limit}
    rest = {"control": verdict.control, "control_found": verdict.control_found, "oracle": verdict.oracle}
    unit.connection.execute(verdicts.insert(), {**values, **rest, "detail": verdict.detail, "at": datetime.now(UTC)})


def verdicts_of(unit: Unit, request: RequestId) -> list[Verdict]:
    """The audits of a request, in the order they were run."""
    rows = unit.connection.execute(select(verdicts).where(verdicts.c.request == request).order_by(verdicts.c.id))
    return [
        Verdict(
            r.audit,
            r.value,
            r.limit,
            control=r.control,
            control_found=r.control_found,
            oracle=r.oracle,
            detail=r.detail,
        )
        for r in rows
    ]


def reveal(unit: Unit, requests: Iterable[RequestId]) -> None:
    """Make hidden rows visible again: the positive control of an audit. The caller rolls back."""
    ids = list(requests)
    for table in (interactions, users):
        unit.connection.execute(update(table).where(table.c.hidden_by.in_(ids)).values(hidden_by=None))


def close(unit: Unit, requests: Iterable[RequestId], *, at: datetime) -> None:
    """The last step: state `erased`. The caller has purged, scrubbed and delivered the certificates."""
    for request in requests:
        c = forget_requests.c
        unit.connection.execute(update(forget_requests).where(c.id == request).values(state=State.ERASED, erased_at=at))
        mark_step(unit, [request], "certify", {}, event="erased", at=at)


def describe(selection: Selection) -> str:
    """The selection in words, for a person."""
    parts = [f"item {item}" for item in selection.items] + [f"category {name}" for name in selection.categories]
    before = f"before {selection.before:%Y-%m-%d}" if selection.before else ""
    return " ".join(filter(None, [" or ".join(parts), before])) or "everything"


def stored_lists(unit: Unit, user: int) -> int:
    """How many stored recommendations a person has."""
    counted = select(func.count()).select_from(recommendations).where(recommendations.c.user == user)
    return unit.connection.scalar(counted) or 0


def visible_user(unit: Unit, user: UserId) -> int:
    """The surrogate key of a person whom no request hides; a LetheError names anybody else."""
    row = unit.connection.execute(select(users.c.id, users.c.hidden_by).where(users.c.user_id == user)).first()
    if row is None:
        raise LetheError(f"no data for user {user}; check the id, nothing was changed")
    if row.hidden_by:
        raise LetheError(f"user {user} is already forgotten (request {row.hidden_by}); nothing was changed")
    return int(row.id)


def _before(selection: Selection) -> list[ColumnElement[bool]]:
    return [interactions.c.timestamp < int(selection.before.timestamp())] if selection.before else []


def _named(selection: Selection, item: str, genres: Sequence[str]) -> bool:
    if not selection.items and not selection.categories:
        return True
    folded = {genre.casefold() for genre in genres}
    return item in selection.items or any(name.casefold() in folded for name in selection.categories)


def _hide(unit: Unit, request: RequestId, user: int, rows: Sequence[int], *, whole: bool) -> None:
    c = interactions.c
    visible = and_(c.user == user, c.hidden_by.is_(None))
    for start in range(0, len(rows), 10_000):
        chosen = and_(visible, c.item.in_(rows[start : start + 10_000]))
        unit.connection.execute(update(interactions).where(chosen).values(hidden_by=request))
    if whole:
        unit.connection.execute(update(users).where(users.c.id == user).values(hidden_by=request))
    unit.connection.execute(delete(recommendations).where(recommendations.c.user == user))


def _selection_json(selection: Selection) -> dict[str, Any]:
    before = selection.before.isoformat() if selection.before else None
    return {"items": list(selection.items), "categories": list(selection.categories), "before": before}


def _record(row: Row[Any]) -> ForgetRequest:
    stored = row.selection or {"items": [], "categories": [], "before": None}
    before = datetime.fromisoformat(stored["before"]) if stored["before"] else None
    return ForgetRequest(
        id=RequestId(row.id),
        user=UserId(row.user_id) if row.user_id else None,
        selection=Selection(tuple(stored["items"]), tuple(stored["categories"]), before),
        state=State(row.state),
        epoch=row.epoch,
        rows=row.rows,
        accepted_at=row.accepted_at,
        deadline=row.deadline,
    )
