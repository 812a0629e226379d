"""One cell of a table: what the base, the forgetting and the oracle score, and whether that can tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError

FloatArray = NDArray[np.float64]
DRAWS = 2000
FEW = 5
"""With fewer items than this, wordings are resampled instead of items."""
CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measure of one model: a value for each question, and the item that each is about."""

    values: FloatArray
    items: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.items):
            raise ValueError(f"{len(self.values)} values of {len(self.items)} questions")

    @property
    def mean(self) -> float:
        """NaN for none."""
        return float(self.values.mean()) if len(self.values) else float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference with its 95% interval; NaN throughout where there was nothing to compare."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """False for NaN."""
        return self.low > 0 or self.high < 0


NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def difference(first: Sample, second: Sample, *, seed: int = 0) -> Interval:
    """first - second, question by question: a percentile bootstrap over items, or over questions where items are few.

    A single question has no interval: it gives NaN bounds.
    """
    if first.items != second.items:
        raise LetheError("two models were asked different questions: ask both the same before comparing")
    apart = first.values - second.values
    if not len(apart):
        return NOTHING
    sums, counts = _clusters(apart, first.items)
    if len(sums) < 2:
        return Interval(float(apart.mean()), float("nan"), float("nan"))
    drawn = np.random.default_rng([seed, 31]).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), (0.025, 0.975))
    return Interval(float(apart.mean()), float(low), float(high))


def _clusters(values: FloatArray, items: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Sums and counts of what is resampled together."""
    names, of = np.unique(np.array(items), return_inverse=True)
    if len(names) < FEW:
        return values, np.ones(len(values))
    return np.bincount(of, weights=values).astype(np.float64), np.bincount(of).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Cell:
    """A measure of a forgetting, between base and oracle. Without an oracle its figures are NaN."""

    measure: str
    base: float
    value: float
    oracle: float
    telling: Interval
    """Base minus oracle: what is there to be forgotten."""
    gap: Interval
    """Value minus oracle."""
    change: Interval
    """Value minus base."""

    @property
    def tells(self) -> bool:
        """Base and oracle differ, with an interval that excludes 0."""
        return self.telling.excludes_zero

    @property
    def forgotten(self) -> float:
        """The share of the way from base to oracle, 1 at the oracle; NaN where the cell cannot tell."""
        return (self.base - self.value) / (self.base - self.oracle) if self.tells else float("nan")

    def __str__(self) -> str:
        if not self.tells:
            return f"{self.measure}: {CANNOT_TELL}"
        gap = f"{self.gap.mean:+.3f} [{self.gap.low:+.3f}, {self.gap.high:+.3f}]"
        return f"{self.measure}: {self.value:.3f}, oracle {self.oracle:.3f}, base {self.base:.3f}, gap {gap}"


def cell(measure: str, base: Sample, value: Sample, oracle: Sample | None = None, *, seed: int = 0) -> Cell:
    """The cell of one measure; all samples must come from the same questions."""
    return Cell(
        measure=measure,
        base=base.mean,
        value=value.mean,
        oracle=oracle.mean if oracle else float("nan"),
        telling=difference(base, oracle, seed=seed) if oracle else NOTHING,
        gap=difference(value, oracle, seed=seed) if oracle else NOTHING,
        change=difference(value, base, seed=seed),
    )
