"""Accept a request to forget a concept, or take one back. Imports neither torch nor numpy."""

from contextlib import suppress
from datetime import datetime

from db import artifacts, concepts
from db.concepts import Asked, Withdrawn
from db.errors import LetheError, StoreBusyError
from db.records import ConceptRequest, UserId
from db.store import Store
from pipelines.forget import clear_outputs


def accept(store: Store, asked: Asked, *, now: datetime) -> tuple[ConceptRequest, Withdrawn]:
    """Accept and hide in one transaction; asked again it changes nothing.

    Lists and files that were made before are withdrawn. Raises LetheError for a person who is unknown, and for a name
    that stands for other items already.
    """
    with store.writing() as unit:
        found = concepts.accept(unit, asked, now=now)
        unit.commit()
    _hide_files(store)
    return found


def restore(store: Store, name: str, user: UserId | None, *, now: datetime) -> ConceptRequest:
    """Take a request back: its items are visible again, and without its adapter the base answers bit for bit.

    Raises LetheError where nothing of that name is forgotten.
    """
    with store.writing() as unit:
        request = concepts.find(unit, name, user)
        if request is None:
            raise LetheError(_unknown(name, user, concepts.every(unit)))
        concepts.restore(unit, request, at=now)
        unit.commit()
    _hide_files(store)
    with suppress(StoreBusyError), store.maintaining():  # else the one who maintains the root sweeps it away
        _destroy(store)
    return request


def listed(store: Store) -> list[ConceptRequest]:
    """Every concept that is forgotten now, oldest first."""
    with store.reading() as unit:
        return concepts.every(unit)


def _hide_files(store: Store) -> None:
    with store.writing() as unit:
        clear_outputs(unit)
        unit.commit()


def _destroy(store: Store) -> None:
    with store.writing() as unit:
        kinds = (concepts.ADAPTER, concepts.TOKENS)
        gone = [artifact for artifact in artifacts.retired(unit) if artifact.kind in kinds]
        artifacts.destroy_all(unit, gone)
        unit.commit()


def _unknown(name: str, user: UserId | None, known: list[ConceptRequest]) -> str:
    whose = "for everybody" if user is None else f"for user {user}"
    names = ", ".join(repr(r.name) + (f" (--user {r.user})" if r.user else "") for r in known) or "none"
    return f"no concept {name!r} is forgotten {whose}; forgotten: {names}"
