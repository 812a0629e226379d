"""Runs a batch job: chunk by chunk, resumable after a kill, published in one step.

A chunk is a pure function of job, generation and people: whoever runs it, and however often, its part is the same.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import artifacts, catalogue, concepts, files, jobs
from db.artifacts import Origin
from db.errors import LetheError, NotFinishedError
from db.jobs import Chunk, Job, StoredList
from db.records import Scope, UserId
from db.store import Store, Unit
from pipelines import parts
from pipelines.config import Plan
from pipelines.recommend import Recommendation, recommend
from pipelines.serving import Recommender, load_histories, load_recommender
from recsys.candidates import IntArray

Progress = Callable[[int, int], None]

_NAME = 64
"""Characters of an artefact's name."""

_OURS = ("artifacts", "jobs", "certificates", "quarantine", "rejects", "tmp")
"""Folders of the root in which no list may be written."""


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What a batch published. `origins` counts lists by who ordered them, `sources` items by what brought them."""

    job: str
    out: str
    people: int
    rows: int
    dropped: int
    """People left out at publish, because a request arrived while the batch ran."""
    forgotten: int
    """People whom a request hides, left out from the start."""
    origins: dict[str, int]
    sources: dict[str, int]


def start(store: Store, plan: Plan, out: Path, *, weight: float | None = None) -> tuple[Job, Recommender]:
    """Plan a batch over all visible people, pinned to the live set of the plan's backbone.

    Raises LetheError where `out` is no place for a Parquet file.
    """
    check_out(store.root.resolve(), out)
    served = load_recommender(store, plan, weight=weight)
    settings = {**plan.model_dump(), "weight": weight}
    with store.writing() as unit:
        if concepts.every(unit) != list(served.forgotten.requests):
            raise NotFinishedError("a concept was forgotten or restored just now; run the same command again")
        key = served.backbone.id
        job = jobs.create(unit, settings, backbone=key, out=str(out.resolve()), chunk_size=plan.chunk)
        unit.commit()
    return job, served


def check_out(root: Path, out: Path) -> None:
    """Refuse a place where a list would be lost, take another file's place, or escape a later erase."""
    out = out.resolve()
    if out.is_dir() or not out.parent.is_dir():
        raise LetheError(f"{out} is no place for a file; name a Parquet file in a folder that exists")
    if out.suffix != ".parquet":
        raise LetheError(f"{out} does not end in .parquet; name a Parquet file")
    if out.is_relative_to(root) and out.relative_to(root).parts[0] in _OURS:
        raise LetheError(f"{out} lies among the store's own files; name a file in {root} itself, or outside it")


def resume(store: Store, job_id: str) -> tuple[Job, Recommender]:
    """An unfinished batch, with the settings and the generation it was started with."""
    with store.reading() as unit:
        job = jobs.get(unit, job_id)
    if job.state != jobs.RUNNING:
        raise LetheError(f"job {job.id} is {job.state}, there is nothing to resume; start one with `recommend --all`")
    plan, weight = plan_of(job.settings)
    served = load_recommender(store, plan, weight=weight)
    if served.backbone.id != job.backbone:
        raise LetheError(f"the generation of job {job.id} is gone; start one anew with `lethe recommend --all`")
    return job, served


def plan_of(settings: Mapping[str, Any]) -> tuple[Plan, float | None]:
    """Plan and given weight as a job's settings keep them."""
    plan = {key: value for key, value in settings.items() if key in Plan.model_fields}
    return Plan(**plan), settings.get("weight")


def run(store: Store, job: Job, served: Recommender, *, progress: Progress) -> BatchSummary:
    """Finish the open chunks, then publish. Raises StoreBusyError when another process runs this job."""
    folder = store.root / "jobs" / job.id
    with jobs.alone(folder):
        histories = load_histories(store, len(served.items)).by_user
        with store.reading() as unit:
            chunks = jobs.chunks_of(unit, job.id)
        done = sum(chunk.counts is not None for chunk in chunks)
        progress(done, len(chunks))
        for chunk in chunks:
            if chunk.counts is None or not parts.part(folder, chunk.number).exists():
                _run_chunk(store, chunk, served, histories)
                done += 1
                progress(done, len(chunks))
        summary = publish(store, job, folder)
    files.destroy(folder)
    return summary


def _run_chunk(store: Store, chunk: Chunk, served: Recommender, histories: Mapping[UserId, IntArray]) -> None:
    with store.reading() as unit:
        people = [user for _, user in jobs.visible_users(unit, chunk)]
    made = recommend(served, {user: histories[user] for user in people if user in histories})
    lists = [StoredList(m.user, m.items, m.scores, (m.origin.value,) * len(m.items)) for m in made]
    parts.write_part(parts.part(store.root / "jobs" / chunk.job, chunk.number), lists, [m.sources for m in made])
    with store.writing() as unit:
        if jobs.get(unit, chunk.job).state != jobs.RUNNING:
            raise NotFinishedError(
                f"job {chunk.job} was cancelled by an erase, or as a concept came or went; start it again"
            )
        jobs.finish_chunk(unit, chunk, _count(made))
        unit.commit()


def publish(store: Store, job: Job, folder: Path) -> BatchSummary:
    """Join the parts, leave out whoever a request hides by now, and switch readers to the result in one transaction."""
    out = Path(job.out)
    with store.writing() as unit:
        if jobs.get(unit, job.id).state != jobs.RUNNING:
            raise NotFinishedError(
                f"job {job.id} was cancelled by an erase, or as a concept came or went; start it again"
            )
        if jobs.superseded(unit, job):
            raise NotFinishedError(f"the generation of job {job.id} was replaced by an erase; start it again")
        chunks = jobs.chunks_of(unit, job.id)
        visible = {user for chunk in chunks for _, user in jobs.visible_users(unit, chunk)}
        changed = jobs.changed_since(unit, job.epoch)
        whole = parts.joined([parts.part(folder, chunk.number) for chunk in chunks])
        made = set(whole["user"].unique().to_list())
        gone = {user for user in made if user not in visible or user in changed}
        frame = parts.without(whole, gone)
        parts.write_whole(out, frame)
        jobs.publish(unit, parts.stored_lists(frame), backbone=job.backbone)
        _register(unit, job, out, frame.height)
        jobs.set_state(unit, job.id, jobs.DONE)
        forgotten = catalogue.hidden_users(unit)
        unit.commit()
    counts = sum((Counter(chunk.counts or {}) for chunk in chunks), Counter())
    return BatchSummary(
        job=job.id,
        out=job.out,
        people=len(made) - len(gone),
        rows=frame.height,
        dropped=len(gone),
        forgotten=forgotten,
        origins=_named(counts, "origin:"),
        sources=_named(counts, "source:"),
    )


def _register(unit: Unit, job: Job, out: Path, rows: int) -> None:
    root, digest, epoch = unit.root.resolve(), files.sha256(out), jobs.origin_epoch(unit, job)
    if not out.is_relative_to(root):
        jobs.record_export(unit, str(out), sha256=digest, rows=rows, epoch=epoch)
        return
    path = out.relative_to(root).as_posix()
    name = path if len(path) <= _NAME else hashlib.sha256(path.encode()).hexdigest()[:_NAME]
    origin = Origin(epoch, Scope.ALL, settings={"job": job.id, **job.settings}, parents=(job.backbone,))
    generation = artifacts.next_generation(unit, "recommendations", name)
    artifacts.register(unit, "recommendations", name, generation, path=path, sha256=digest, origin=origin)


def _count(made: Sequence[Recommendation]) -> dict[str, int]:
    origins = Counter(f"origin:{m.origin.value}" for m in made)
    return dict(origins + Counter(f"source:{source}" for m in made for source in m.sources))


def _named(counts: Counter[str], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): count for key, count in sorted(counts.items()) if key.startswith(prefix)}
