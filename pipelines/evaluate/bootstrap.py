"""Bootstrap intervals over people, for many columns at once: one resampling serves every comparison of a table."""

import numpy as np
from numpy.typing import NDArray

from recsys.metrics import Interval

Floats = NDArray[np.float64]

DRAWS = 2000

_BLOCK = 250
"""Draws worked out at a time."""


class Resampling:
    """How often each of `people` is in each draw: the same for all values of these people, so that they stay paired."""

    def __init__(self, people: int, *, seed: int, draws: int = DRAWS) -> None:
        if people < 1:
            raise ValueError("nobody to resample")
        self._people, self._seed, self._draws = people, seed, draws

    def means(self, values: Floats) -> Floats:
        """Mean of each column of `values` [people, columns] in each draw, shape [draws, columns]."""
        if len(values) != self._people:
            raise ValueError(f"{len(values)} values for {self._people} people")
        rng = np.random.default_rng(self._seed)
        out = np.empty((self._draws, values.shape[1]))
        for start in range(0, self._draws, _BLOCK):
            block = min(_BLOCK, self._draws - start)
            drawn = rng.integers(self._people, size=(block, self._people)) + np.arange(block)[:, None] * self._people
            counts = np.bincount(drawn.ravel(), minlength=block * self._people).reshape(block, self._people)
            out[start : start + block] = counts @ values / self._people
        return out

    def intervals(self, values: Floats) -> list[Interval]:
        """Mean of each column of `values` [people, columns] with its 95% interval."""
        drawn = self.means(values)
        return [_interval(float(column.mean()), own) for column, own in zip(values.T, drawn.T, strict=True)]

    def compared(self, new: Floats, old: Floats) -> tuple[Interval, Interval]:
        """Mean difference and ratio of means of paired values [people], each with its 95% interval."""
        drawn = self.means(np.stack([new, old], axis=1))
        base = float(old.mean())
        ratio = float(new.mean()) / base if base > 0 else float("nan")
        ratios = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan)
        return _interval(float((new - old).mean()), drawn[:, 0] - drawn[:, 1]), _interval(ratio, ratios)


def _interval(value: float, draws: Floats) -> Interval:
    finite = draws[np.isfinite(draws)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))
