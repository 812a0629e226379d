"""How far a method is from the oracle, by the limits that the oracles themselves set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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

FEWEST = 40
"""People in whom a bias is looked for."""

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
    groups = _strata(cell, world)
    if not groups:
        return []
    found = bias.verdict(groups, *_lists(panel, cell), seed=0)
    return [replace(found, detail=f"{_whose(cell)} people, {found.detail}")]


def strata(panel: Panel, method: str, world: World) -> list[dict[str, Any]]:
    """The change in NDCG and the oracle's for each stratum, mean over seeds; empty where people are too few."""
    if method == ORACLE or len(panel.of(ORACLE)) < 3:
        return []
    groups = _strata(panel.of(method)[0], world)
    found = [bias.biases(groups, *_lists(panel, cell)) for cell in panel.of(method)] if groups else []
    return [
        {
            "stratum": same[0].stratum,
            "people": same[0].people,
            "whose": _whose(panel.of(method)[0]),
            "change": float(np.mean([one.change for one in same])),
            "oracle_change": float(np.mean([one.oracle_change for one in same])),
            "limit": float(np.mean([one.limit for one in same])),
        }
        for same in zip(*found, strict=True)
    ]


def _whose(cell: Cell) -> str:
    """People who asked for nothing; where most of those who stay lost some rows, all who stay."""
    untouched, stay = (Slice(SERVED.phase, SERVED.view, who).of(cell).height for who in (UNTOUCHED, STAY))
    return "untouched" if 2 * untouched >= stay else "touched"


def _part(cell: Cell) -> pl.Expr:
    return UNTOUCHED if _whose(cell) == "untouched" else STAY


def _strata(cell: Cell, world: World) -> list[bias.Stratum]:
    rows = Slice(SERVED.phase, SERVED.view, _part(cell)).of(cell)["row"].to_numpy()
    asked = world.after.questions.take(np.isin(world.after.questions.people, rows))
    if len(rows) < FEWEST:
        return []
    return bias.strata(asked.histories, asked.relevant, world.before.floor.counts)


def _lists(panel: Panel, cell: Cell) -> tuple[IntArray, IntArray, Sequence[IntArray]]:
    part = Slice(SERVED.phase, SERVED.view, _part(cell))
    oracles = [panel.lists(one, part) for one in panel.of(ORACLE)]
    return panel.lists(cell, before(_part(cell))), panel.lists(cell, part), oracles


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
