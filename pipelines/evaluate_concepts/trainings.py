"""A figure over trainings, and whether two kinds of trainings differ in it by more than among themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
from scipy.special import stdtrit

from unlearning.concept.cells import Interval


@dataclass(frozen=True, slots=True)
class Runs:
    """A figure over trainings: mean, standard deviation (NaN for a single one), and how many there are."""

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Runs":
        """Of values by seed."""
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else nan
        return cls(float(np.mean(values)) if values else nan, spread, len(values))


def welch(first: Runs, second: Runs) -> Interval:
    """First minus second with its 95% interval over trainings (Welch 1947); no ends where one has a single training.

    >>> found = welch(Runs(0.9, 0.01, 3), Runs(0.5, 0.02, 5))
    >>> round(found.low, 3), round(found.high, 3)
    (0.374, 0.426)
    """
    difference = first.mean - second.mean
    parts = [one.spread**2 / one.count for one in (first, second)]
    if not all(isfinite(part) for part in parts):
        return Interval(difference, nan, nan)
    error = sqrt(sum(parts))
    varied = [part**2 / (one.count - 1) for part, one in zip(parts, (first, second), strict=True)]
    half = float(stdtrit(error**4 / sum(varied), 0.975)) * error if error else 0.0
    return Interval(difference, difference - half, difference + half)
