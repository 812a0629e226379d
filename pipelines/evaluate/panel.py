"""Cells of one backbone and protocol side by side: the same people in the same order, whatever the method."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelines.evaluate.answers import View
from pipelines.evaluate.audience import Group
from pipelines.evaluate.cell import AFTER, BEFORE
from pipelines.evaluate.cells import Cell
from pipelines.evaluate.methods import NONE, ORACLE
from recsys.candidates import IntArray


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a cell's people."""

    phase: str
    view: View
    where: pl.Expr

    def of(self, cell: Cell) -> pl.DataFrame:
        """The rows of this part, by person."""
        chosen = (pl.col("phase") == self.phase) & (pl.col("view") == self.view.value) & self.where
        return cell.people.filter(chosen).sort("row")


STAY = pl.col("group") != Group.FORGOTTEN.value
LOST = pl.col("group") != Group.REMAINING.value
UNTOUCHED = pl.col("group") == Group.REMAINING.value

SERVED = Slice(AFTER, View.SERVED, STAY)
"""People who stay, as they are served after forgetting."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The finished cells of one backbone and protocol."""

    backbone: str
    protocol: str
    cells: tuple[Cell, ...]

    def of(self, method: str) -> list[Cell]:
        """The cells of a method, by seed."""
        return sorted((c for c in self.cells if c.method == method), key=lambda c: c.seed)

    @property
    def methods(self) -> list[str]:
        """Methods with a finished cell: the oracle and none first."""
        names = dict.fromkeys(c.method for c in self.cells)
        return sorted(names, key=lambda name: (name != ORACLE, name != NONE, list(names).index(name)))

    def values(self, method: str, part: Slice, column: str) -> pl.DataFrame:
        """Mean over seeds for each person: columns `row` and `method`'s name."""
        frames = [part.of(cell).select("row", pl.col(column).alias(method)) for cell in self.of(method)]
        return pl.concat(frames).group_by("row").mean().sort("row")

    def lists(self, cell: Cell, part: Slice) -> IntArray:
        """The lists of a part's people, [people, DEPTH]. Raises ValueError where they are not the oracle's people."""
        found = part.of(cell)
        if self.of(ORACLE) and not found["row"].equals(part.of(self.of(ORACLE)[0])["row"]) and part.phase == AFTER:
            raise ValueError(f"{cell.method} and the oracle were asked about different people")
        return found["list"].to_numpy().astype(np.int64)


def before(where: pl.Expr) -> Slice:
    """The same people before anybody asked."""
    return Slice(BEFORE, View.SERVED, where)
