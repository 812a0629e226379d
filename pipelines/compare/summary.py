"""The tables of concepts: one for each surface, one row an arm, from finished cells alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipelines.compare.arms import NONE, ORACLE, Arm
from pipelines.compare.cells import Kept, load
from pipelines.compare.rows import NO_ORACLE, NOT_MEASURED, Row, absent, mean, of_cell
from pipelines.compare.run import Lab, Outcome, Planned
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.tasks import Done
from unlearning.concept.cells import Sample, cell


def summarise(
    lab: Lab, outcome: Outcome, arms: Sequence[Arm], data: Sequence[Row] = (), also: Done | None = None
) -> dict[str, Any]:
    """Everything that a run found, as one JSON document; `data` and `also` are what came of people's requests."""
    model, world = lab.concepts.model, lab.world
    every = [outcome.done, *([also] if also else [])]
    return {
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "split": {"name": world.data.split.name, "id": world.data.split.id},
        "backbone": world.fitting.backbone,
        "lists": asdict(world.how),
        "items": len(world.data.items),
        "quick": lab.grid.quick,
        "arms": [asdict(arm) for arm in arms],
        "cells": {
            "finished": sum(done.measured + done.skipped for done in every),
            "measured_now": sum(done.measured for done in every),
            "left": sum(done.left for done in every),
        },
        "failed": [{"cell": name, "error": error} for done in every for name, error in done.failed],
        "concepts": [_concept(lab, outcome, name) for name in lab.grid.concepts],
        "data": list(data),
    }


def _concept(lab: Lab, outcome: Outcome, name: str) -> Row:
    about, oracle = lab.concepts.subject(name, lab.grid).concept, lab.concepts.oracle(name)
    crowd = lab.world.crowd(about)
    tables: dict[tuple[str, str], list[Planned]] = {}
    for one in (one for one in outcome.planned if one.concept == name):
        tables.setdefault((one.surface.name, one.scope.value), []).append(one)
    return {
        "name": name,
        "kind": about.kind.value,
        "titles": [item.title for item in about.items],
        "oracle": oracle.fingerprint if oracle else None,
        "people": len(crowd.rows),
        "asking": int(crowd.asks.sum()),
        "surfaces": [table(lab.concepts.keeper, lines) for lines in tables.values()],
    }


def table(keeper: Keeper, lines: Sequence[Planned]) -> Row:
    """One surface: a row for each line, from what is kept."""
    surface, scope = lines[0].surface, lines[0].scope
    found = {one.arm.name: [kept for spec in one.specs if (kept := load(keeper, spec))] for one in lines}
    missing = {one.arm.name: (NOT_MEASURED if one.specs else NO_ORACLE, "") for one in lines}
    about = {"surface": surface.name, "told": surface.told, "kept": surface.kept, "scope": scope.value}
    return filled(about, found, missing, _twins(lines))


def filled(
    about: Row,
    found: Mapping[str, Sequence[Kept]],
    missing: Mapping[str, tuple[str, str]],
    twins: Mapping[str, str],
) -> Row:
    """A table from the cells of each arm, and a word with a reason for arms that have none."""
    base, oracle = (_pooled(found.get(name, ())) for name in (NONE, ORACLE))
    rows = []
    for arm, kept in found.items():
        own = _pooled(kept)
        if own is None or base is None:
            rows.append(absent(arm, *missing[arm]))
        else:
            made = cell(about["surface"], base, own, oracle)
            told = of_cell(arm, made, kept=about["kept"], oracle=oracle is not None)
            rows.append({**told, **_seeds(kept), "as": twins.get(arm)})
    return {**about, "rows": rows}


def _pooled(kept: Sequence[Kept]) -> Sample | None:
    return mean([one.sample for one in kept])


def _seeds(kept: Sequence[Kept]) -> Row:
    """How many trainings there are, their deviation, how many questions each was asked, and lists without an answer."""
    means = [one.sample.mean for one in kept]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    unusable = sum(one.facts["unusable"] for one in kept)
    return {"seeds": len(means), "spread": spread, "asked": len(kept[0].sample.values), "unusable": unusable}


def _twins(lines: Sequence[Planned]) -> dict[str, str]:
    """Arms whose cells are an earlier arm's, since the surface does not see in what they differ; and whose."""
    first: dict[tuple[str, ...], str] = {}
    found = {}
    for one in lines:
        names = tuple(spec.name for spec in one.specs)
        if names and first.setdefault(names, one.arm.name) != one.arm.name:
            found[one.arm.name] = first[names]
    return found
