"""Diversity filter (CRAGRU, eq. 5-7): how much of each category is worth keeping, as a knapsack of groups."""

from dataclasses import dataclass

import numpy as np

from recsys.candidates import IntArray
from retrieval.categories import Categories, Floats
from retrieval.filters.base import everything, room
from retrieval.filters.draw import draw
from retrieval.filters.hit_rate import LEVELS, HitRateMatrix


@dataclass(frozen=True, slots=True)
class Packing:
    """The level chosen for each category, the rows that costs, and the value reached."""

    levels: IntArray
    cost: int
    value: float


class Diversity:
    """Keeps of each category the share that the measured hit rates say is worth its rows."""

    name = "diversity"

    def __init__(self, categories: Categories, matrix: HitRateMatrix) -> None:
        matrix.fits(categories.names)
        self._categories, self._matrix = categories, matrix

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """The rows that the knapsack grants each category, drawn by `seed`."""
        length = room(history, length)
        if length == len(history):
            return everything(history)
        counts = self._categories.counts(history)
        weight = self._categories.weight[history]
        own = np.flatnonzero(counts > 0)
        granted = np.zeros(len(counts), dtype=np.int64)
        granted[own] = allot(self._matrix.values[own], counts[own], (weight[:, own] > 0).sum(axis=0), length)
        return draw(weight, granted, seed=seed)


def costs(counts: Floats) -> IntArray:
    """Rows that each level of each category costs, int64 [categories, levels]: p% of |D_uc|, rounded up."""
    return np.ceil(np.outer(counts, LEVELS) / 100 - 1e-9).astype(np.int64)


def pack(values: Floats, cost: IntArray, capacity: int) -> Packing:
    """One level for each category so that the values sum highest within `capacity` rows (0/1 knapsack of groups).

    Dynamic programming over categories and rows, then backtracking. Of equal sums, the lower level of the later
    category. `values` and `cost` have shape [categories, levels], and a level of cost 0 exists in each category.
    """
    best = np.zeros(capacity + 1)
    choice = np.zeros((len(values), capacity + 1), dtype=np.int64)
    for category, (value, price) in enumerate(zip(values, cost, strict=True)):
        tried = np.full((len(value), capacity + 1), -np.inf)
        for level, (gain, rows) in enumerate(zip(value.tolist(), price.tolist(), strict=True)):
            if rows <= capacity:
                tried[level, rows:] = best[: capacity + 1 - rows] + gain
        choice[category] = tried.argmax(axis=0)
        best = tried.max(axis=0)
    levels = np.zeros(len(values), dtype=np.int64)
    rows_left = capacity
    for category in reversed(range(len(values))):
        levels[category] = choice[category, rows_left]
        rows_left -= int(cost[category, levels[category]])
    return Packing(levels, capacity - rows_left, float(best[capacity]))


def allot(values: Floats, counts: Floats, available: IntArray, length: int) -> IntArray:
    """Rows for each category, summing to `length`: the packing first, the rest by the largest gain in hit rate a row.

    `available` caps a category's rows; only where all caps are reached does the sum stay below `length`.
    """
    cost = costs(counts)
    levels = pack(values, cost, length).levels
    granted = np.minimum(cost[np.arange(len(cost)), levels], available)
    while (spare := length - int(granted.sum())) > 0 and (granted < available).any():
        gain, rows = _steps(values, cost, granted, available)
        category = int(np.argmax(gain))
        granted[category] += min(spare, int(rows[category]))
    return granted


def _steps(values: Floats, cost: IntArray, granted: IntArray, available: IntArray) -> tuple[Floats, IntArray]:
    """For each category the gain a row of its best next level, and the rows to it; a full category gains -inf."""
    gain = np.full(len(values), -np.inf)
    rows = np.maximum(available - granted, 0)
    for category in np.flatnonzero(rows):
        above = np.flatnonzero(cost[category] > granted[category])
        if not len(above):
            gain[category] = -1.0  # every level is paid for; further rows count through their other categories
            continue
        now = values[category, np.flatnonzero(cost[category] <= granted[category])[-1]]
        extra = cost[category, above] - granted[category]
        each = (values[category, above] - now) / extra
        gain[category], rows[category] = each.max(), min(int(extra[each.argmax()]), int(rows[category]))
    return gain, rows
