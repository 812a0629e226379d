"""Forget a person: accepted, hidden and shielded in one transaction. Imports neither torch nor numpy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from db import artifacts, concepts, files, jobs, requests
from db.records import ForgetRequest, Scope, Selection, UserId
from db.store import Store, Unit


@dataclass(frozen=True, slots=True)
class Touched:
    """One place that a request reaches: how many rows or files, when, and by what means."""

    place: str
    count: int
    when: str
    how: str


def forget(
    store: Store, users: Sequence[UserId], selection: Selection, *, now: datetime, deadline: timedelta
) -> list[ForgetRequest]:
    """Shield every request, or none: an unknown person among them refuses them all.

    Raises LetheError for a person or a selection that names nothing, and StoreBusyError while another process writes.
    """
    with store.writing() as unit:
        clear_outputs(unit)  # of an earlier run that was killed: its requests are refused below as forgotten already
        made = [requests.shield(unit, user, selection, now=now, deadline=deadline) for user in dict.fromkeys(users)]
        unit.commit()
    return made


def hide_files(store: Store) -> None:
    """Take refused files out of the readers' way; the next forget, train or erase repeats what a kill left undone."""
    with store.writing() as unit:
        clear_outputs(unit)
        unit.commit()


def preview(store: Store, users: Sequence[UserId], selection: Selection) -> list[Touched]:
    """Every place that `forget` and `erase` would touch, with counts; changes nothing."""
    with store.reading() as unit:
        found = [requests.rows_of(unit, user, selection) for user in dict.fromkeys(users)]
        keys = [key for key, _ in found]
        rows = sum(len(wanted) for _, wanted in found)
        lists = sum(requests.stored_lists(unit, key) for key in keys)
        asked = sum(one.user in users for one in concepts.every(unit)) if selection.whole_user else 0
        return [
            Touched("interactions", rows, "at once", "hidden; deleted by erase"),
            Touched("users", len(keys) if selection.whole_user else 0, "at once", "hidden; deleted by erase"),
            Touched("recommendations", lists, "at once", "deleted"),
            Touched("concept requests", asked, "at once", "of no effect; deleted by erase, with their adapters"),
            *_artefacts(unit),
            Touched("unfinished jobs", len(jobs.unfinished(unit)), "at publish", "the person's list is dropped"),
            Touched(
                "exports", len(jobs.exports_before(unit, _ALWAYS)), "never", "beyond reach; named in the certificate"
            ),
        ]


def clear_outputs(unit: Unit) -> None:
    """Take refused files, and what killed publishes left, out of the readers' way; a pure re-do after a kill."""
    artifacts.quarantine(unit)
    for path in jobs.unregistered_outputs(unit):
        files.destroy(path)


_ALWAYS = 1 << 62

_MEASURED = ("evaluation", "report")
"""Kinds that are told by their number: an evaluation keeps a file for every cell."""


def _artefacts(unit: Unit) -> list[Touched]:
    on_disk = [a for a in artifacts.all_on_disk(unit) if a.scope not in (Scope.NONE, Scope.USER)]
    measured = [a for a in on_disk if a.kind in _MEASURED]
    lists = [a for a in on_disk if a.kind == "recommendations"]
    shards = [a for a in on_disk if a.kind == "shard"]
    rebuilt = [a for a in on_disk if a not in measured and a not in lists and a not in shards]
    return [
        *(
            Touched(f"{a.kind} {a.name}", 1, "at once", "file refused to readers; written again by erase")
            for a in lists
        ),
        *(
            Touched(f"{kind}s", number, "at once", "refused to readers; destroyed by erase, not measured again")
            for kind, number in Counter(a.kind for a in measured).items()
        ),
        *(
            Touched(f"{a.kind} {a.name}", 1, "by erase", f"generation {a.generation} rebuilt without the rows")
            for a in rebuilt
        ),
        *[Touched("shards", len(shards), "by erase", "those that hold the rows trained again, the others kept")][
            : bool(shards)
        ],
    ]
