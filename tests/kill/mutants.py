"""Planted faults: each breaks one of the rules that make a kill harmless. Applied in the process of one command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection

from db import artifacts, catalogue, files, purge, requests
from db.store import Store, Unit
from pipelines import erase, generations, parts, reduce
from pipelines.ingest import job
from pipelines.training import job as training


def rebuild_marked_first() -> None:
    """The step "rebuild" is marked done before the work."""
    real = erase.rebuild

    def rebuild(store: Store, batch: Sequence[Any], *rest: Any) -> None:
        _mark(store, batch, "rebuild")
        real(store, batch, *rest)

    erase.rebuild = rebuild


def purge_marked_first() -> None:
    """The step "purge" is marked done before the work."""
    real = erase._purge

    def purged(store: Store, batch: Sequence[Any]) -> int:
        _mark(store, batch, "purge")
        return real(store, batch)

    erase._purge = purged


def published_without_suppression() -> None:
    """A batch publishes whoever was visible when it began."""
    real = parts.without

    def without(lists: pl.DataFrame, _people: Any) -> pl.DataFrame:
        return real(lists, ())

    parts.without = without


def busy_checkpoint_ignored() -> None:
    """The checkpoint's answer is not read: "erased" is said while a reader keeps the old pages."""

    def checkpoint(connection: Connection, _sleep: Any) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout = 100")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    purge._checkpoint = checkpoint


def registered_before_whole() -> None:
    """A generation is registered before its folder is there."""
    real = generations.draft

    def draft(store: Store, kind: str, name: str, write: Callable[[Path], object], origin: Any) -> Any:
        with store.writing() as unit:
            generation = artifacts.next_generation(unit, kind, name)
            path = artifacts.folder(kind, name, generation)
            artifacts.register(unit, kind, name, generation, path=path, sha256="", origin=origin)
            unit.commit()
        return real(store, kind, name, write, origin)

    training.draft = draft


def reduced_passes_for_exact() -> None:
    """A reduced backbone is registered as if it were made of the visible rows alone."""
    real = reduce.draft

    def draft(store: Store, kind: str, name: str, write: Callable[[Path], object], origin: Any) -> Any:
        if kind == "backbone":
            origin = replace(origin, data_epoch=origin.settings[reduce.REDUCED_TO])
        return real(store, kind, name, write, origin)

    reduce.draft = draft


def written_in_place() -> None:
    """Files are written where they belong at once, without a temporary file and a rename."""

    def write(path: Path, fill: Callable[[Path], object]) -> None:
        fill(path)
        files._sync(path)

    files.write_atomic = write
    parts.write_atomic = write


def ingested_piece_by_piece() -> None:
    """An ingest commits each of its pieces."""
    real = catalogue.put_interactions
    job._CHUNK = 100

    def put(unit: Unit, *rows: Any) -> None:
        real(unit, *rows)
        unit.commit()

    catalogue.put_interactions = put


def _mark(store: Store, batch: Sequence[Any], step: str) -> None:
    with store.writing() as unit:
        requests.mark_step(unit, [request.id for request in batch], step, {})
        unit.commit()


MUTANTS: dict[str, Callable[[], None]] = {
    made.__name__: made
    for made in (
        rebuild_marked_first,
        purge_marked_first,
        published_without_suppression,
        busy_checkpoint_ignored,
        registered_before_whole,
        reduced_passes_for_exact,
        written_in_place,
        ingested_piece_by_piece,
    )
}
