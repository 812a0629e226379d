"""Interaction logs for the benchmarks: ml-100k as installed with RecBole, or a folder of `user item item ...` lines."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.catalogue import installed
from db.errors import LetheError
from db.log import SPLITS, InteractionLog
from db.records import ItemId, Split, UserId
from recsys.splits import SplitRecipe, assign


def ml100k(recipe: SplitRecipe) -> InteractionLog:
    """The 100,000 interactions of ml-100k, split by `recipe`."""
    path = installed() / "ml-100k.inter"
    cells = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    table = np.array([[int(u), int(i), int(float(t))] for u, i, _, t in cells], dtype=np.int64)
    return _log(table, recipe)


def folder(data: str | None, recipe: SplitRecipe) -> InteractionLog:
    """train.txt and test.txt of `data` (or of LETHE_BENCH_DATA) pooled and split again by `recipe`; no timestamps."""
    place = data or os.environ.get("LETHE_BENCH_DATA")
    if not place:
        raise LetheError("no data folder: pass --data DIR or set LETHE_BENCH_DATA")
    pairs = [
        (int(user), int(item), 0)
        for name in ("train.txt", "test.txt")
        for user, *items in map(str.split, (Path(place) / name).read_text().splitlines())
        for item in items
    ]
    return _log(np.unique(np.array(pairs, dtype=np.int64), axis=0), recipe)


def published(place: Path) -> InteractionLog:
    """train.txt and test.txt of a folder under the split they were published with; no validation rows, no timestamps.

    Raises LetheError for a pair that stands in both.
    """
    tables = []
    for code, name in ((Split.TRAIN, "train.txt"), (Split.TEST, "test.txt")):
        lines = map(str.split, (place / name).read_text().splitlines())
        pairs = {(int(user), int(item)) for user, *items in lines for item in items}
        tables.append(np.array([(*pair, 0, SPLITS.index(code)) for pair in sorted(pairs)], dtype=np.int64))
    table = np.concatenate(tables)
    if len(np.unique(table[:, :2], axis=0)) < len(table):
        raise LetheError(f"{place.name}: a pair of train.txt stands in test.txt too; take it out of one of them")
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return replace(_log(table[:, :3], SplitRecipe()), split=table[:, 3].astype(np.uint8))


def _log(table: np.ndarray[tuple[int, int], np.dtype[np.int64]], recipe: SplitRecipe) -> InteractionLog:
    table = table[np.lexsort((table[:, 1], table[:, 0], table[:, 2]))]
    users, user = np.unique(table[:, 0], return_inverse=True)
    items, item = np.unique(table[:, 1], return_inverse=True)
    return InteractionLog(
        users=tuple(UserId(str(u)) for u in users),
        items=tuple(ItemId(str(i)) for i in items),
        user=user.astype(np.int64),
        item=item.astype(np.int64),
        timestamp=table[:, 2],
        rating=np.full(len(table), np.nan, dtype=np.float32),
        split=assign(recipe, user, item, table[:, 2]),
    )
