"""Reads a store for an evaluation: the rows of one data epoch, and the split that was stored for them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from db import catalogue, files
from db.errors import LetheError
from db.load import load_log
from db.log import InteractionLog
from db.records import Item
from db.store import Store
from pipelines.evaluate.keep import StoreKeeper
from pipelines.evaluate.split import (
    NAMES,
    PAPER,
    Data,
    EvaluationSplit,
    ResplitError,
    plain_recipe,
    resplit,
    with_split,
)
from recsys.splits import SplitRecipe

ROWS, RECIPE = "split.parquet", "split.json"


def read(store: Store, name: str, *, recipe: SplitRecipe | None = None) -> Data:
    """The visible rows under the named split; the first evaluation of a data epoch stores the split with its hash.

    `recipe` is what the caller believes the split to be made by. Raises ResplitError where it, or the split of a row,
    differs from what is stored for this epoch.
    """
    if name not in NAMES:
        raise LetheError(f"split {name!r} is unknown: choose one of {', '.join(NAMES)}")
    epoch, log, items, recorded = _read(store, name)
    made_by = plain_recipe(asdict(recipe)) if recipe else recorded
    keeper = StoreKeeper(store, epoch)
    folder = keeper.find(f"split-{name}")
    if folder is not None:
        return _stored(folder, log, epoch, items, made_by)
    if name == "paper":
        log = resplit(log, recipe or PAPER)
    elif made_by != recorded:
        raise ResplitError(f"split {name} was made by {recorded}, not by {made_by}: a split is made once")
    data = with_split(log, name, made_by, epoch=epoch, items=items)
    keeper.keep(f"split-{name}", lambda folder: _write(folder, data), {"split": data.split.id, "name": name})
    return data


def _read(store: Store, name: str) -> tuple[int, InteractionLog, tuple[Item, ...], dict[str, object]]:
    with store.reading() as unit:
        epoch = catalogue.epoch(unit)
        log = load_log(unit, split="time" if name == "temporal" else "random")
        items, recipes = tuple(catalogue.load_items(unit)), catalogue.split_recipes(unit)
    if not len(log):
        raise LetheError("there are no visible interactions to evaluate on; run `lethe ingest` first")
    if name == "paper":
        return epoch, log, items, plain_recipe(asdict(PAPER))
    if name not in recipes:
        raise LetheError(f"the rows carry no {name} split (it needs timestamps); choose --split paper or random")
    return epoch, log, items, plain_recipe(recipes[name].recipe)


def _stored(
    folder: Path, log: InteractionLog, epoch: int, items: tuple[Item, ...], made_by: Mapping[str, object]
) -> Data:
    known: dict[str, Any] = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    split = EvaluationSplit(known["name"], known["recipe"], known["id"])
    if split.recipe != made_by:
        raise ResplitError(f"split {split.name} was made by {split.recipe}, not by {made_by}: a split is made once")
    frame = pl.read_parquet(folder / ROWS)
    codes = frame["split"].to_numpy().astype(np.uint8)
    if len(codes) != len(log) or frame["item"].to_list() != [log.items[row] for row in log.item.tolist()]:
        raise ResplitError(f"split {split.name} ({split.id}) was stored for other rows: a split is made once")
    if split.name != "paper" and not np.array_equal(codes, log.split):
        raise ResplitError(f"rows were split again since {split.name} ({split.id}) was stored: a split is made once")
    return Data(epoch, replace(log, split=codes), items, split)


def _write(folder: Path, data: Data) -> None:
    log = data.log
    columns = {
        "user": [log.users[row] for row in log.user.tolist()],
        "item": [log.items[row] for row in log.item.tolist()],
        "split": log.split,
    }
    pl.DataFrame(columns).write_parquet(folder / ROWS)
    files.write_json(folder / RECIPE, {"name": data.split.name, "recipe": dict(data.split.recipe), "id": data.split.id})
