"""Exact ways to a backbone without hidden rows: which ones fit it, and the model where not everything is fitted."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import catalogue
from db.artifacts import Artifact
from db.errors import LetheError
from db.load import changes_since
from db.log import InteractionLog
from db.records import Split
from db.store import Store
from pipelines import models
from pipelines.config import Plan
from pipelines.generations import checked_folder, fresh_seed
from pipelines.train import Ready, seed_of
from pipelines.training import choose, shards
from pipelines.training.around import requests_since
from pipelines.training.job import Data, Progress, RowsChangedError
from pipelines.training.read import read
from pipelines.training.shards import SERVING, TUNING, Resharded
from recsys.ease import Ease, RefitNeededError
from recsys.vectors import ItemVectors
from unlearning.data.downdate import Change, downdate
from unlearning.data.sharding import Partitioned

Way = tuple[str, Progress]
"""The backbone's name, and who hears of progress."""

AUTO, RETRAIN = "auto", "retrain"

EXACT = (AUTO, "downdate", RETRAIN, "sisa", "receraser", "grapheraser")
"""`auto` is, for each backbone, the first of those that fit it."""


def fitting(backbone: Artifact) -> tuple[str, ...]:
    """The exact methods for a backbone, the cheapest first."""
    if backbone.name == "ease":
        return ("downdate", RETRAIN)
    how = backbone.settings.get(models.SHARDING)
    return (how["method"], RETRAIN) if how else (RETRAIN,)


def described(backbone: Artifact) -> str:
    """A backbone in a few words."""
    how = backbone.settings.get(models.SHARDING)
    return f"{backbone.name} in {how['shards']} shards by {how['method']}" if how else backbone.name


def check(method: str | None, backbones: Sequence[Artifact]) -> None:
    """Raise LetheError, with the remedy, where a backbone cannot be made again by this method."""
    for backbone in backbones:
        known = fitting(backbone)
        if method not in (None, AUTO, *known):
            meant = "ease" if method == "downdate" else f"backbones in shards by {method}"
            told = f"--method {method} is for {meant}, not for {described(backbone)}"
            raise LetheError(f"{told}; use --method {' or '.join(known)}")


def ready(
    store: Store, backbone: Artifact, settings: Artifact, method: str | None, *, progress: Progress
) -> Ready | None:
    """The model by the method, where less than everything has to be fitted; None means: train the set anew.

    Raises RowsChangedError where rows came or went while they were read.
    """
    way = fitting(backbone)[0] if method in (None, AUTO) else method
    if way == "downdate":
        return _downdated(store, backbone, settings.settings["backbone"])
    if way == "sisa":
        return _resharded(store, backbone, settings.settings, progress)
    return None


def _downdated(store: Store, backbone: Artifact, frozen: dict[str, Any]) -> Ready | None:
    with store.reading() as unit:
        epoch, changes = catalogue.epoch(unit), changes_since(unit, backbone.data_epoch)
    if changes is None:
        return None
    model, started = Ease.load(checked_folder(store.root, backbone)), time.perf_counter()
    try:
        downdate(model, [Change(then, now) for then, now in changes])
    except RefitNeededError:
        return None
    return Ready(model, frozen, epoch, "downdate", time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class Parted:
    """What is left of the shards of a set, and which have to be fitted again."""

    kept: dict[int, Artifact]
    folders: dict[int, Path]
    touched: tuple[int, ...]

    def made(self, part: str, log: InteractionLog, frozen: dict[str, Any], seed: int, way: Way) -> Partitioned:
        """The model of one kind: its kept shards bit for bit as they are, the others of the rows that `log` has."""
        name, progress = way
        unlearner = models.sharded(name, frozen)
        old = {shard: ItemVectors.load(folder / part) for shard, folder in self.folders.items()}
        model = Partitioned.of("sisa", log.items, old, frozen[models.SHARDING]["shards"])
        with progress(f"fit {len(self.touched)} of {model.shards} shards of {name} on {part} rows") as bar:
            return unlearner.refit(model, log, self.touched, seed=seed, progress=bar)


def _resharded(store: Store, backbone: Artifact, settings: Mapping[str, Any], progress: Progress) -> Ready | None:
    """Those shards fitted again that held a row of a request since; the others are read from their artefacts."""
    frozen, data = settings["backbone"], read(store)
    parted = _parted(store, backbone, frozen, data)
    if parted is None:
        return None
    seed, way = seed_of(store, Plan(**settings["plan"])), (backbone.name, progress)
    started = time.perf_counter()
    model = parted.made(SERVING, data.log, frozen, seed, way)
    seconds = time.perf_counter() - started
    tuning = parted.made(TUNING, data.log.only(Split.TRAIN), frozen, fresh_seed(seed, choose.TUNING), way)
    resharded = Resharded(choose.Tuning(tuning, frozen), tuple(parted.kept.values()), parted.touched)
    return Ready(model, frozen, data.epoch, "sisa", seconds, resharded)


def _parted(store: Store, backbone: Artifact, frozen: dict[str, Any], data: Data) -> Parted | None:
    """None where more than requests came since, or nothing can be kept."""
    rule = shards.rule_of(frozen[models.SHARDING])
    with store.reading() as unit:
        epoch, later = catalogue.epoch(unit), requests_since(unit, backbone.data_epoch)
        held = shards.live(unit, backbone.name)
    if epoch != data.epoch:
        raise RowsChangedError("rows changed while they were read; run the same command again")
    hit = {rule.shard_of_user(request.user) for request in later or () if request.user is not None}
    kept = {shard: artifact for shard, artifact in held.items() if shard not in hit}
    if later is None or not kept:
        return None
    folders = {shard: checked_folder(store.root, artifact) for shard, artifact in kept.items()}
    known = ItemVectors.load(next(iter(folders.values())) / SERVING).items
    touched = hit | set(rule.shard_of(data.log).tolist()) - set(kept)
    return Parted(kept, folders, tuple(sorted(touched))) if known == data.log.items else None
