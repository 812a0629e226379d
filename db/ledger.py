"""An append-only, hash-chained record of what was asked and what was done. It never holds a person's id."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from db.errors import LetheError
from db.records import ConceptId, RequestId
from db.schema import ledger
from db.store import Unit

GENESIS = "0" * 64
"""The `previous` of the first entry."""


class LedgerError(LetheError):
    """The chain is broken: an entry was changed, removed or put in between."""


def append(
    unit: Unit,
    event: str,
    request: RequestId | ConceptId | None,
    payload: dict[str, Any],
    *,
    at: datetime | None = None,
) -> str:
    """Add an entry inside the caller's transaction and return its hash (64 hex digits)."""
    last = unit.connection.execute(select(ledger.c.seq, ledger.c.hash).order_by(ledger.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    digest = _digest(seq, at, event, request, payload, previous=previous)
    unit.connection.execute(
        ledger.insert(),
        {
            "seq": seq,
            "at": at,
            "event": event,
            "request": request,
            "payload": payload,
            "previous": previous,
            "hash": digest,
        },
    )
    return digest


def head(unit: Unit) -> str:
    """The newest entry's hash, or GENESIS."""
    found = unit.connection.scalar(select(ledger.c.hash).order_by(ledger.c.seq.desc()).limit(1))
    return found or GENESIS


def count(unit: Unit, event: str, request: RequestId | ConceptId) -> int:
    """How many entries tell of this event of a request."""
    found = select(func.count()).where(ledger.c.event == event, ledger.c.request == request)
    return int(unit.connection.scalar(found) or 0)


def holds(unit: Unit, digest: str) -> bool:
    """Whether an entry with this hash stands in the chain."""
    return unit.connection.scalar(select(ledger.c.seq).where(ledger.c.hash == digest)) is not None


def verify(unit: Unit) -> int:
    """Recompute the whole chain and return its length. Raises LedgerError naming the first entry that does not fit."""
    previous, expected = GENESIS, 1
    for row in unit.connection.execute(select(ledger).order_by(ledger.c.seq)):
        digest = _digest(row.seq, row.at, row.event, row.request, row.payload, previous=previous)
        if row.seq != expected or row.previous != previous or row.hash != digest:
            raise LedgerError(
                f"the ledger is broken at entry {expected}; restore the database from a backup and verify again"
            )
        previous, expected = row.hash, expected + 1
    return expected - 1


def _digest(seq: int, at: datetime, event: str, request: str | None, payload: dict[str, Any], *, previous: str) -> str:
    fields = [seq, at.astimezone(UTC).isoformat(), event, request, payload, previous]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
