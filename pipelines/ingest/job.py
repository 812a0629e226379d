"""Writing a checked data set into the store: one transaction, the whole or nothing, the same file twice a no-op."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from db import catalogue, ledger, suppression
from db.catalogue import InteractionRow
from db.records import Item, ItemId, UserId
from db.store import Store, Unit
from pipelines.ingest import admission, splitting
from pipelines.ingest.changes import Changes, compare
from pipelines.ingest.dataset import Dataset, Source
from recsys.splits import SplitRecipe

_CHUNK = 50_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What one ingest did. Counts without a noun are of interactions."""

    added: int
    updated: int
    unchanged: int
    superseded: int
    """Left as they were: the store knows a later contact of the same person with the same item."""
    duplicates: int
    """Left out in favour of a later row of the same data set."""
    suppressed: int
    """Left out because they were asked to be forgotten, those of suppressed people included."""
    suppressed_users: int
    users_added: int
    items_added: int
    items_updated: int
    items_unchanged: int
    readmitted: int
    """Suppression entries lifted."""
    epoch: int
    """The data epoch afterwards."""

    @property
    def changed(self) -> bool:
        """Whether any row of the store is new or different."""
        return bool(self.added or self.updated or self.users_added or self.items_added or self.items_updated)


def ingest(
    store: Store,
    dataset: Dataset,
    *,
    now: datetime,
    readmit: frozenset[UserId] = frozenset(),
    split: SplitRecipe = splitting.RANDOM,
    progress: Progress = lambda done, total: None,
) -> IngestSummary:
    """Write the data set. Either all of it is committed or nothing changes, whatever happens on the way.

    Suppressed people and rows are skipped and counted; `readmit` names people who may come back after their erase.
    New rows get their splits here, by `split` where they are the store's first and else as those were; the data epoch
    grows when anything visible changed. `progress` hears how many rows of how many are written.
    """
    with store.writing() as unit:
        lifted = admission.readmit(unit, readmit, dataset.interactions)
        summary, changes = _catalogue(unit, dataset, lifted)
        if lifted:
            ledger.append(unit, "readmitted", None, {"entries": lifted}, at=now)
        if summary.changed:
            summary = replace(summary, epoch=catalogue.bump_epoch(unit))
            _write(unit, changes, summary.epoch, split, progress)
            _remember(unit, dataset.source, summary, now)
        if lifted or summary.changed:
            unit.commit()
    return summary


def _catalogue(unit: Unit, dataset: Dataset, lifted: int) -> tuple[IngestSummary, Changes]:
    """Add items and newcomers, whose keys the interactions need, and find what is to be written of those."""
    held = suppression.load(unit)
    people = catalogue.stored_users(unit)
    asked = [UserId(user) for user in dataset.users["user_id"]]
    refused = admission.refused_users(held, people, asked)
    newcomers = [user for user in asked if user not in people and user not in refused]
    items = catalogue.put_items(unit, _items(dataset.items))
    catalogue.put_users(unit, newcomers)
    admitted = dataset.interactions.filter(~pl.col("user_id").is_in(list(refused)))
    changes = compare(unit, _keyed(unit, admitted), held)
    summary = IngestSummary(
        added=changes.added.height,
        updated=changes.updated.height,
        unchanged=changes.unchanged,
        superseded=changes.superseded,
        duplicates=dataset.duplicates,
        suppressed=changes.suppressed + dataset.interactions.height - admitted.height,
        suppressed_users=len(refused.intersection(asked)),
        users_added=len(newcomers),
        items_added=items["added"],
        items_updated=items["updated"],
        items_unchanged=items["unchanged"],
        readmitted=lifted,
        epoch=catalogue.epoch(unit),
    )
    return summary, changes


def _keyed(unit: Unit, interactions: pl.DataFrame) -> pl.DataFrame:
    people = {user: known.key for user, known in catalogue.stored_users(unit).items()}
    frames = (("user", people), ("item", catalogue.item_keys(unit)))
    for name, keys in frames:
        key_of = pl.DataFrame(
            {f"{name}_id": list(keys), name: list(keys.values())}, schema={f"{name}_id": pl.String, name: pl.Int64}
        )
        interactions = interactions.join(key_of, on=f"{name}_id", how="left", maintain_order="left")
    return interactions


def _write(unit: Unit, changes: Changes, epoch: int, split: SplitRecipe, progress: Progress) -> None:
    codes = splitting.split_codes(unit, changes.added, split)
    if changes.added.height:
        splitting.record(unit, codes.recipes, epoch)
    none = np.zeros(changes.updated.height, dtype=np.uint8)  # an updated row keeps its splits: these are not written
    total, done = changes.added.height + changes.updated.height, 0
    for added in _chunks(changes.added, codes.random, codes.temporal):
        catalogue.put_interactions(unit, added)
        progress(done := done + len(added), total)
    for updated in _chunks(changes.updated, none, none):
        catalogue.put_interactions(unit, [], updated)
        progress(done := done + len(updated), total)


def _chunks(
    frame: pl.DataFrame, random: NDArray[np.uint8], temporal: NDArray[np.uint8]
) -> Iterator[list[InteractionRow]]:
    rows = frame.select("user", "item", "rating", "timestamp").with_columns(
        random=pl.Series(random, dtype=pl.UInt8), temporal=pl.Series(temporal, dtype=pl.UInt8)
    )
    return (chunk.rows() for chunk in rows.iter_slices(_CHUNK))


def _items(frame: pl.DataFrame) -> Iterator[Item]:
    for item, title, year, genres, description in frame.iter_rows():
        yield Item(ItemId(item), title, year, tuple(genres), description)


def _remember(unit: Unit, source: Source, summary: IngestSummary, now: datetime) -> None:
    counts = asdict(summary)
    for file in source.files:
        found = {"kind": source.kind, "name": file.name, "sha256": file.sha256}
        catalogue.record_source(unit, {**found, "counts": counts, "at": now})
    files = {file.name: file.sha256 for file in source.files}
    ledger.append(unit, "ingested", None, {"kind": source.kind, "files": files, **counts}, at=now)
