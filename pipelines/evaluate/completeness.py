"""How far a method is from the oracle, by the limits that the oracles themselves set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from db.records import Verdict
from pipelines.evaluate.cells import Cell
from pipelines.evaluate.methods import NONE, ORACLE
from pipelines.evaluate.panel import SERVED, STAY, UNTOUCHED, Panel, Slice, before
from pipelines.evaluate.world import World
from recsys.candidates import IntArray
from unlearning.audit import bias, oracle

SAMPLES = {"neighbours": pl.col("neighbour"), "random": pl.col("random")}


@dataclass(frozen=True, slots=True)
class Column:
    """One audit of a method over its seeds. `passed` of `seeds` stayed under the limit; void: nothing could be told."""

    audit: str
    value: float
    limit: float
    control: float | None
    oracle: float | None
    passed: int
    void: int
    seeds: int
    detail: str

    @property
    def good(self) -> bool:
        """Every seed passed."""
        return self.passed == self.seeds


def columns(panel: Panel, method: str, world: World) -> list[Column]:
    """Distances of lists for both samples, and the unlearning bias; empty for the oracle and without enough oracles."""
    if method == ORACLE or len(panel.of(ORACLE)) < 3 or not panel.of(NONE):
        return []
    verdicts = [[*_distances(panel, cell), *_bias(panel, cell, world)] for cell in panel.of(method)]
    return [_column(list(same)) for same in zip(*verdicts, strict=True)]


def _distances(panel: Panel, cell: Cell) -> list[Verdict]:
    found = []
    for name, sample in SAMPLES.items():
        part = Slice(SERVED.phase, SERVED.view, STAY & sample)
        oracles = [panel.lists(one, part) for one in panel.of(ORACLE)]
        found += oracle.verdicts(name, panel.lists(cell, part), oracles, panel.lists(panel.of(NONE)[0], part))
    return found


def _bias(panel: Panel, cell: Cell, world: World) -> list[Verdict]:
    """For people who asked for nothing. Where the protocol leaves too few of them there is no such column."""
    part = Slice(SERVED.phase, SERVED.view, UNTOUCHED)
    rows = part.of(cell)["row"].to_numpy()
    asked = world.after.questions.take(np.isin(world.after.questions.people, rows))
    if len(rows) < 40 or not asked.warm.any():
        return []
    groups = bias.strata(asked.histories, asked.relevant, world.before.floor.counts)
    return [bias.verdict(groups, *_lists(panel, cell, part), seed=0)]


def _lists(panel: Panel, cell: Cell, part: Slice) -> tuple[IntArray, IntArray, Sequence[IntArray]]:
    oracles = [panel.lists(one, part) for one in panel.of(ORACLE)]
    return panel.lists(cell, before(UNTOUCHED)), panel.lists(cell, part), oracles


def _column(same: Sequence[Verdict]) -> Column:
    def _mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Column(
        audit=same[0].audit,
        value=float(np.mean([v.value for v in same])),
        limit=float(np.mean([v.limit for v in same])),
        control=_mean([v.control for v in same]),
        oracle=_mean([v.oracle for v in same]),
        passed=sum(v.passed for v in same),
        void=sum(v.void for v in same),
        seeds=len(same),
        detail=same[0].detail,
    )


def plain(found: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """The columns by name, as JSON keeps them."""
    return {c.audit: {name: getattr(c, name) for name in (*Column.__slots__, "good") if name != "audit"} for c in found}
