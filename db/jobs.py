"""Batch jobs: their settings, their chunks, and what they publish for readers."""

import fcntl
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update

from db import catalogue
from db.errors import LetheError, StoreBusyError
from db.records import ItemId, UserId
from db.schema import artifacts, chunks, exports, forget_requests, items, jobs, recommendations, users
from db.store import Unit

RUNNING, DONE, CANCELLED = "running", "done", "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """A batch over all visible people, pinned to one backbone generation and one data epoch."""

    id: str
    state: str
    settings: Mapping[str, Any]
    backbone: int
    epoch: int
    out: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit of resume: people whose surrogate keys lie between `first_user` and `last_user`, both included."""

    job: str
    number: int
    first_user: int
    last_user: int
    counts: Mapping[str, int] | None
    """What the finished chunk counted; None while it is open."""


@dataclass(frozen=True, slots=True)
class StoredList:
    """One person's recommendations as they are published: item, score and origin by rank."""

    user: UserId
    items: tuple[ItemId, ...]
    scores: tuple[float, ...]
    origins: tuple[str, ...]


def create(unit: Unit, settings: Mapping[str, Any], *, backbone: int, out: str, chunk_size: int) -> Job:
    """Plan a batch: cut the visible people into chunks by key range."""
    job = Job("j" + secrets.token_hex(6), RUNNING, dict(settings), backbone, catalogue.epoch(unit), out)
    values = {"id": job.id, "kind": "recommend", "state": RUNNING, "settings": dict(settings), "backbone": backbone}
    unit.connection.execute(jobs.insert(), {**values, "epoch": job.epoch, "out": out, "created_at": datetime.now(UTC)})
    visible = select(users.c.id).where(users.c.hidden_by.is_(None)).order_by(users.c.id)
    keys = list(unit.connection.scalars(visible))
    parts = [keys[start : start + chunk_size] for start in range(0, len(keys), chunk_size)]
    rows = [{"job": job.id, "number": n, "first_user": p[0], "last_user": p[-1]} for n, p in enumerate(parts)]
    if rows:
        unit.connection.execute(chunks.insert(), rows)
    return job


def get(unit: Unit, job: str) -> Job:
    """The job with this id. Raises LetheError for an unknown one."""
    row = unit.connection.execute(select(jobs).where(jobs.c.id == job)).first()
    if row is None:
        known = ", ".join(unit.connection.scalars(select(jobs.c.id).where(jobs.c.state == RUNNING))) or "none"
        raise LetheError(f"there is no job {job}; unfinished jobs: {known}")
    return _job(row)


def unfinished(unit: Unit) -> list[Job]:
    """Jobs that can be resumed."""
    return [_job(row) for row in unit.connection.execute(select(jobs).where(jobs.c.state == RUNNING))]


def stranded(unit: Unit) -> list[Job]:
    """Unfinished jobs whose set was replaced: they cannot be resumed."""
    live = select(artifacts.c.id).where(artifacts.c.state == "live")
    return [job for job in unfinished(unit) if job.backbone not in set(unit.connection.scalars(live))]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time over a job's folder. Raises StoreBusyError when another holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "job.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusyError(f"job {folder.name} is running in another process; wait for it") from error
        yield


def chunks_of(unit: Unit, job: str) -> list[Chunk]:
    """Every chunk of a job in order."""
    rows = unit.connection.execute(select(chunks).where(chunks.c.job == job).order_by(chunks.c.number))
    return [Chunk(r.job, r.number, r.first_user, r.last_user, r.counts if r.done_at else None) for r in rows]


def finish_chunk(unit: Unit, chunk: Chunk, counts: Mapping[str, int]) -> None:
    """Mark a chunk done; its part file is already in place."""
    c = chunks.c
    which = and_(c.job == chunk.job, c.number == chunk.number)
    unit.connection.execute(update(chunks).where(which).values(counts=dict(counts), done_at=datetime.now(UTC)))


def origin_epoch(unit: Unit, job: Job) -> int:
    """The data epoch that a batch's output descends from: its own, or its backbone's where that is older."""
    fitted = unit.connection.scalar(select(artifacts.c.data_epoch).where(artifacts.c.id == job.backbone))
    return min(job.epoch, job.epoch if fitted is None else int(fitted))


def superseded(unit: Unit, job: Job) -> bool:
    """Whether an erase has replaced the batch's backbone: what it made descends from rows that are to be gone."""
    state = unit.connection.scalar(select(artifacts.c.state).where(artifacts.c.id == job.backbone))
    later = unit.connection.scalar(select(func.max(forget_requests.c.epoch)))
    return state != "live" and (later or 0) > origin_epoch(unit, job)


def set_state(unit: Unit, job: str, state: str) -> None:
    """Mark a job done or cancelled."""
    finished = datetime.now(UTC) if state != RUNNING else None
    unit.connection.execute(update(jobs).where(jobs.c.id == job).values(state=state, finished_at=finished))


def visible_users(unit: Unit, chunk: Chunk) -> list[tuple[int, UserId]]:
    """People of a chunk whom no request hides now, as (key, id)."""
    between = and_(users.c.id >= chunk.first_user, users.c.id <= chunk.last_user, users.c.hidden_by.is_(None))
    rows = unit.connection.execute(select(users.c.id, users.c.user_id).where(between).order_by(users.c.id))
    return [(key, UserId(outside)) for key, outside in rows]


def changed_since(unit: Unit, epoch: int) -> set[UserId]:
    """People any of whose rows were hidden by a request accepted after `epoch`: a list made then is not theirs now."""
    c = forget_requests.c
    return {UserId(u) for u in unit.connection.scalars(select(c.user_id).where(c.epoch > epoch)) if u}


def publish(unit: Unit, lists: Sequence[StoredList], *, backbone: int) -> None:
    """Store lists for readers, replacing each person's older ones. The caller has left out hidden people."""
    user_keys = {UserId(o): k for k, o in unit.connection.execute(select(users.c.id, users.c.user_id))}
    item_keys = catalogue.item_keys(unit)
    for stored in lists:
        unit.connection.execute(delete(recommendations).where(recommendations.c.user == user_keys[stored.user]))
    rows = [
        {"user": user_keys[s.user], "rank": n, "item": item_keys[i], "score": score, "origin": o, "backbone": backbone}
        for s in lists
        for n, (i, score, o) in enumerate(zip(s.items, s.scores, s.origins, strict=True), start=1)
    ]
    if rows:
        unit.connection.execute(recommendations.insert(), rows)


def stored_list(unit: Unit, user: UserId) -> StoredList | None:
    """A person's published recommendations, or None."""
    c = recommendations.c
    joined = (
        select(items.c.item_id, c.score, c.origin).join(items, items.c.id == c.item).join(users, users.c.id == c.user)
    )
    rows = unit.connection.execute(joined.where(users.c.user_id == user).order_by(c.rank)).all()
    if not rows:
        return None
    names, scores, origins = zip(*rows, strict=True)
    return StoredList(user, tuple(ItemId(i) for i in names), tuple(scores), tuple(origins))


def drop_lists_before(unit: Unit, epoch: int) -> int:
    """Delete published lists of backbones that were built before `epoch`. Returns how many rows went."""
    old = select(artifacts.c.id).where(artifacts.c.data_epoch < epoch)
    return unit.connection.execute(delete(recommendations).where(recommendations.c.backbone.in_(old))).rowcount


def drop_stale_lists(unit: Unit) -> int:
    """Delete published lists of backbones that readers no longer use. Returns how many rows went."""
    live = select(artifacts.c.id).where(artifacts.c.state == "live")
    return unit.connection.execute(delete(recommendations).where(recommendations.c.backbone.not_in(live))).rowcount


def record_export(unit: Unit, path: str, *, sha256: str, rows: int, epoch: int) -> None:
    """Remember a file written outside the root: beyond reach, and named in later certificates."""
    values = {"path": path, "sha256": sha256, "rows": rows, "epoch": epoch, "at": datetime.now(UTC)}
    unit.connection.execute(exports.insert(), values)


def exports_before(unit: Unit, epoch: int) -> list[str]:
    """Paths outside the root that may hold rows hidden at `epoch`; a batch killed while it wrote one counts."""
    recorded = unit.connection.scalars(select(exports.c.path).where(exports.c.epoch < epoch).order_by(exports.c.id))
    older = or_(jobs.c.epoch < epoch, artifacts.c.data_epoch < epoch)
    batches = select(jobs.c.out).join(artifacts, artifacts.c.id == jobs.c.backbone)
    planned = unit.connection.scalars(batches.where(older).order_by(jobs.c.created_at))
    outside = [path for path in planned if not Path(path).is_relative_to(unit.root.resolve())]
    return list(dict.fromkeys([*recorded, *outside]))


def unregistered_outputs(unit: Unit) -> list[Path]:
    """Files under the root that a killed publish of an unfinished job may have left, known to no artefact."""
    root = unit.root.resolve()
    inside = [Path(job.out) for job in unfinished(unit) if Path(job.out).is_relative_to(root)]
    known = {
        root / path for path in unit.connection.scalars(select(artifacts.c.path).where(artifacts.c.state == "live"))
    }
    return [path for path in inside if path.exists() and path not in known]


def _job(row: Row[Any]) -> Job:
    return Job(row.id, row.state, row.settings, row.backbone, row.epoch, row.out)
