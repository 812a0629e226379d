"""The tables: one for each backbone and protocol, one row a method, from finished cells alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.evaluate import completeness, shadows, utility, versions
from pipelines.evaluate.cells import Cell
from pipelines.evaluate.methods import NONE, ORACLE
from pipelines.evaluate.panel import Panel
from pipelines.evaluate.run import Lab, Outcome, load_cells
from pipelines.evaluate.times import times
from pipelines.evaluate.world import World

GRADES = {True: "exact", False: "not exact"}


@dataclass(frozen=True, slots=True)
class Row:
    """A method in one table; the parts are as their modules make them."""

    method: str
    seeds: int
    grade: str
    """exact, not exact, oracle, or none where nothing is forgotten."""
    utility: dict[str, Any]
    asked: dict[str, Any]
    completeness: dict[str, dict[str, Any]]
    bias: list[dict[str, Any]]
    """By activity and by popularity of items, from the fewest to the most."""
    times: dict[str, Any]
    score_gap: float | None
    """max |ΔS| against a refit, where the method claims to equal one."""
    reranked: dict[str, Any] | None
    facts: dict[str, Any]
    """What the method told of its last request, with the first seed."""


@dataclass(frozen=True, slots=True)
class Table:
    """All methods for one backbone under one protocol."""

    backbone: str
    protocol: str
    requests: int
    forgotten_rows: int
    forgotten_people: int
    touched_people: int
    oracle_spread: dict[str, float] | None
    rows: tuple[Row, ...]


def summarise(lab: Lab, outcome: Outcome) -> dict[str, Any]:
    """Everything that a run found, as one JSON document."""
    tables = list(_tables(lab, outcome))
    finished = sum(row.seeds for table in tables for row in table.rows)
    split = lab.data.split
    return {
        "split": {"name": split.name, "id": split.id, "recipe": dict(split.recipe)},
        "data_epoch": lab.data.epoch,
        "people": len(lab.data.log.users),
        "items": len(lab.data.log.items),
        "interactions": len(lab.data.log),
        "cells": {"finished": finished, "measured_now": outcome.done.measured, "left": outcome.done.left},
        "not_applicable": list(outcome.not_applicable),
        "failed": [{"cell": name, "error": error} for name, error in outcome.done.failed],
        "tables": [asdict(table) for table in tables],
        "versions": [told for told in (versions.load(lab.keeper, s) for s in outcome.compared) if told is not None],
        "membership": [told for told in _membership(lab, outcome) if told is not None],
    }


def _membership(lab: Lab, outcome: Outcome) -> Iterator[dict[str, Any] | None]:
    for same in shadows.grouped(list(outcome.shadows)):
        yield shadows.verdicts(lab.keeper, same)


def _tables(lab: Lab, outcome: Outcome) -> Iterator[Table]:
    """One at a time, so that the cells of one backbone and protocol are in memory, and no others."""
    for backbone, protocol in dict.fromkeys((spec.backbone, spec.protocol.name) for spec in outcome.specs):
        specs = [s for s in outcome.specs if (s.backbone, s.protocol.name) == (backbone, protocol)]
        cells = load_cells(lab, specs)
        if cells:
            yield _table(Panel(backbone, protocol, tuple(cells)), lab.world(specs[0]))


def _table(panel: Panel, world: World) -> Table:
    facts = panel.cells[0].facts
    spread = utility.spread_of_oracles(panel)
    return Table(
        backbone=panel.backbone,
        protocol=panel.protocol,
        requests=facts["requests"],
        forgotten_rows=facts["forgotten_rows"],
        forgotten_people=facts["forgotten_people"],
        touched_people=facts["touched_people"],
        oracle_spread={"low": spread.low, "high": spread.high} if spread else None,
        rows=tuple(_rows(panel, world)),
    )


def _rows(panel: Panel, world: World) -> Iterator[Row]:
    for method in panel.methods:
        cells = panel.of(method)
        yield Row(
            method=method,
            seeds=len(cells),
            grade=_grade(method, cells),
            utility=utility.of_those_who_stay(panel, method),
            asked=utility.of_those_who_asked(panel, method),
            completeness=completeness.plain(completeness.columns(panel, method, world)),
            bias=completeness.strata(panel, method, world),
            times=asdict(times(panel, method)),
            score_gap=max((c.facts["score_gap"] for c in cells if "score_gap" in c.facts), default=None),
            reranked=_reranked(panel, method),
            facts=cells[0].facts.get("method", {}),
        )


def _grade(method: str, cells: Sequence[Cell]) -> str:
    if method in (ORACLE, NONE):
        return method
    return GRADES[all(cell.facts["exact"] for cell in cells)]


def _reranked(panel: Panel, method: str) -> dict[str, Any] | None:
    ranked = replace(panel, cells=tuple(cell for cell in panel.cells if "rerank" in cell.facts))
    cells = ranked.of(method)
    if not cells:
        return None
    origins = Counter[str]()
    for cell in cells:
        origins.update(cell.facts["rerank"]["origins"])
    told = utility.of_those_who_stay(ranked, method, utility.RERANKED)
    return {**told, "seeds": len(cells), "origins": dict(origins), "fallbacks": origins["fallback"]}
