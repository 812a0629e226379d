"""From dense scores to full candidate lists, with exclusion."""

from collections.abc import Callable, Sequence

import numpy as np

from db.errors import LetheError
from recsys.candidates import Candidates, FloatArray, IntArray

CHUNK = 1024
"""People scored at a time, so that a batch over everybody needs memory for `CHUNK` dense rows only."""


def top_k(scores: FloatArray, exclude: Sequence[IntArray], k: int) -> list[Candidates]:
    """The k best items of each row of `scores` [people, items] outside its `exclude`, best first.

    Lists are full: they hold min(k, items left) items. Equal scores are ordered by item row.
    """
    if k < 1:
        raise LetheError(f"a list of {k} items was asked for: ask for at least 1")
    return [_best(row, banned, k) for row, banned in zip(scores, exclude, strict=True)]


def _best(row: FloatArray, banned: IntArray, k: int) -> Candidates:
    open_rows = np.ones(len(row), dtype=np.bool_)
    open_rows[banned] = False
    rows = np.flatnonzero(open_rows)
    if len(rows) > k:
        limit = np.partition(row[rows], len(rows) - k)[len(rows) - k]
        rows = rows[row[rows] >= limit]
    order = np.argsort(-row[rows], kind="stable")[:k]
    best = rows[order].astype(np.int64)
    return Candidates(best, row[best].astype(np.float32), ("backbone",) * len(best))


def no_candidates() -> Candidates:
    """An empty list: what a backbone answers where there is no history."""
    return Candidates(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), ())


def candidates_from(
    score: Callable[[Sequence[IntArray]], FloatArray],
    histories: Sequence[IntArray],
    exclude: Sequence[IntArray],
    k: int,
) -> list[Candidates]:
    """`Backbone.candidates` for a model that scores densely: `score` gives [people, items] for some histories."""
    if len(histories) != len(exclude):
        raise ValueError(f"{len(histories)} histories but {len(exclude)} exclusions")
    lists = [no_candidates() for _ in histories]
    warm = [person for person, history in enumerate(histories) if len(history)]
    for start in range(0, len(warm), CHUNK):
        people = warm[start : start + CHUNK]
        found = top_k(score([histories[p] for p in people]), [exclude[p] for p in people], k)
        for person, candidates in zip(people, found, strict=True):
            lists[person] = candidates
    return lists
