"""The tables: one for each concept, one row a method, from finished cells alone."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import nan
from typing import Any

import numpy as np

from pipelines.evaluate_concepts import attacked, goals
from pipelines.evaluate_concepts.cells import Kept, load
from pipelines.evaluate_concepts.grid import Grid
from pipelines.evaluate_concepts.guidance import guidance
from pipelines.evaluate_concepts.run import Lab, Outcome
from pipelines.evaluate_concepts.spec import BASE, ORACLE, REPLICATE, Part, drawn
from pipelines.evaluate_concepts.trainings import Runs, welch
from unlearning.concept.cells import Cell, Sample
from unlearning.concept.evaluate import Examined, compare, telling_families
from unlearning.concept.gates import judge

ANSWERS = 6
"""Answers shown of each side."""


def summarise(lab: Lab, grid: Grid, outcome: Outcome) -> dict[str, Any]:
    """Everything that a run found, as one JSON document."""
    concepts = [_concept(lab, grid, name, _kept(lab, outcome, name)) for name in grid.concepts]
    done = outcome.done
    return {
        "model": {"name": lab.model.name, "fingerprint": lab.model.fingerprint},
        "items": len(lab.catalogue),
        "quick": grid.quick,
        "cells": {"finished": done.measured + done.skipped, "measured_now": done.measured, "left": done.left},
        "failed": [{"cell": name, "error": error} for name, error in done.failed],
        "concepts": concepts,
    }


def _kept(lab: Lab, outcome: Outcome, name: str) -> list[Kept]:
    found = [(lab.keeper.find(spec.name), spec) for spec in outcome.specs[name]]
    return [load(folder, spec) for folder, spec in found if folder is not None]


def _concept(lab: Lab, grid: Grid, name: str, kept: Sequence[Kept]) -> dict[str, Any]:
    about = lab.subject(name, grid)
    return {
        "name": name,
        "kind": about.concept.kind.value,
        "titles": [item.title for item in about.concept.items],
        "oracles": [fork.fingerprint for fork in lab.without(name)],
        "replicates": [fork.fingerprint for fork in lab.again()],
        "asked": {kind.value: len(probes) for kind, probes in about.asked.probes.items() if probes},
        **of_cells(kept),
    }


def of_cells(kept: Sequence[Kept]) -> dict[str, Any]:
    """What finished cells of one concept tell by themselves: `telling`, `rows`, `unmet`, `guidance` and `answers`."""
    base, fork, level = *(_pooled(_of(kept, who)) for who in (BASE, ORACLE)), _level(kept)
    rows = [_row(kept, label, base, fork) for label in dict.fromkeys(cell.label for cell in kept)]
    rows = [_telling(row, level) for row in rows]
    rows = attacked.with_comebacks(_with_latency(rows))
    theirs = next((row for row in rows if row["method"] == ORACLE), None)
    cells = compare(base, fork or base, fork) if base else {}
    unmet = _pooled(_of(kept, BASE, Part.UNMET))
    chosen = {name: sample.mean for name, sample in unmet.samples.items()} if unmet else {}
    return {
        "telling": sorted(telling_families({name: cell for name, cell in cells.items() if name not in level})),
        "rows": [{**row, "goals": _goals(row, theirs, chosen)} for row in rows],
        "unmet": chosen,
        "guidance": guidance(rows),
        "answers": list(_answers(kept)),
    }


def _level(kept: Sequence[Kept]) -> set[str]:
    """Measures in which models that met the concept differ from those that did not no more than trainings do.

    By Welch's interval over trainings, base and replicates beside oracles; a single one of either says nothing of it.
    """
    met = [cell.samples for who in (BASE, REPLICATE) for cell in _of(kept, who)]
    never = [cell.samples for cell in _of(kept, ORACLE)]
    if min(len(met), len(never)) < 2:
        return set()
    means = {name: [Runs.of([one[name].mean for one in models]) for models in (met, never)] for name in met[0]}
    return {name for name, (first, second) in means.items() if not welch(first, second).excludes_zero}


def _telling(row: Mapping[str, Any], level: Collection[str]) -> dict[str, Any]:
    """The row, its measures telling nothing where trainings differ as much among themselves."""
    measures = {
        name: {**one, "tells": False, "forgotten": nan} if name in level else one
        for name, one in row["measures"].items()
    }
    return {**row, "measures": measures}


def _goals(row: Mapping[str, Any], theirs: Mapping[str, Any] | None, chosen: Mapping[str, float]) -> list[Any]:
    """What is asked of forgetting is asked of no model that met the concept."""
    return [] if row["method"] in (BASE, REPLICATE) else goals.of_row(row, theirs, chosen)


def _of(kept: Sequence[Kept], label: str, part: Part = Part.EXAMINED) -> list[Kept]:
    return [cell for cell in kept if cell.label == label and cell.part is part]


def _pooled(cells: Sequence[Kept]) -> Examined | None:
    """The mean over seeds of every question's value; None where nothing is kept."""
    if not cells:
        return None
    every = [cell.samples for cell in cells]
    pooled = {
        measure: Sample(np.mean([one[measure].values for one in every], axis=0), sample.items)
        for measure, sample in every[0].items()
    }
    return Examined(pooled)


def _row(kept: Sequence[Kept], label: str, base: Examined | None, oracle: Examined | None) -> dict[str, Any]:
    """One method, its seeds pooled question by question: intervals are over items, deviations over seeds."""
    own = _of(kept, label)
    pooled = _pooled(own)
    compared = compare(base, pooled, oracle) if base and pooled else {}
    means = [{name: sample.mean for name, sample in cell.samples.items()} for cell in own]
    method = next(cell.method for cell in kept if cell.label == label)
    return {
        "method": method,
        "label": label,
        "seeds": len(own),
        "random": drawn(method),
        "measures": {name: _figures(one, [mean[name] for mean in means]) for name, one in compared.items()},
        "gates": _gates(kept, own),
        "cost": _cost(own),
        "attacks": attacked.told(_of(kept, label, Part.ATTACKED)),
        "depth": [{**c.facts["depth"], "seed": c.seed, "beside": c.beside} for c in _of(kept, label, Part.DEEP)],
        "ranking": _ranking(kept, label),
    }


def _figures(cell: Cell, means: Sequence[float]) -> dict[str, Any]:
    """A cell with its spread over seeds, the ends of their means, and what it says of base and oracle."""
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    ends = [min(means, default=None), max(means, default=None)]
    return {**asdict(cell), "spread": spread, "ends": ends, "tells": cell.tells, "forgotten": cell.forgotten}


def _gates(kept: Sequence[Kept], own: Sequence[Kept]) -> dict[str, Any] | None:
    """How many seeds would be registered, and what kept the others out."""
    controls = [_pooled(_of(kept, who)) for who in (BASE, ORACLE)]
    if controls[0] is None:
        return None
    found = [judge(controls[0], Examined(cell.samples), oracle=controls[1]) for cell in own]
    failing = dict.fromkeys(line for one in found for line in one.failing)
    return {"passed": sum(one.passed for one in found), "failing": list(failing)}


def _cost(cells: Sequence[Kept]) -> dict[str, Any]:
    """Means over seeds of seconds and bytes, steps by seed, and what the method told of its first seed."""
    names = ("fit_seconds", "bytes", "examining_seconds")
    told = [cell.facts["method"] for cell in cells]
    found: dict[str, Any] = {"facts": told[0] if told else {}}
    found["steps"] = [one["steps"] for one in told if "steps" in one]
    for name in names:
        known = [cell.facts[name] for cell in cells if cell.facts.get(name) is not None]
        found[name] = float(np.mean(known)) if known else None
    return found


def _with_latency(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds of asking everything, over the base's: what a forgetting adds to every answer."""
    base = next((row["cost"]["examining_seconds"] for row in rows if row["method"] == BASE), None)
    made = []
    for row in rows:
        own = row["cost"]["examining_seconds"]
        slower = own / base if own and base else None
        made.append({**row, "cost": {**row["cost"], "slower": slower}})
    return made


def _ranking(kept: Sequence[Kept], label: str) -> dict[str, Any] | None:
    """Lists of real people: the ratio of each measure's mean to the base's."""
    own, base = (_pooled(_of(kept, who, Part.RANKED)) for who in (label, BASE))
    if own is None or base is None:
        return None
    cells = compare(base, own)
    return {name: {**asdict(cell), "ratio": _ratio(cell)} for name, cell in cells.items()}


def _ratio(cell: Cell) -> float:
    return cell.value / cell.base if cell.base > 0 else float("nan")


def _answers(kept: Sequence[Kept]) -> Iterator[dict[str, Any]]:
    """What models said of their own accord to the same questions: on the concept first, then elsewhere."""
    first: dict[str, Any] = {}
    for cell in kept:
        if cell.part is Part.EXAMINED and cell.method != REPLICATE:
            first.setdefault(cell.label, cell.facts["spoken"])
    asked = [one["question"] for one in first.get(BASE, [])]
    for place in _spread(len(asked)):
        said = {label: spoken[place]["text"] for label, spoken in first.items()}
        yield {"question": asked[place], "said": said}


def _spread(count: int) -> list[int]:
    """Places evenly over the questions, as many of the first half as of the second."""
    half = count // 2
    each = min(ANSWERS, half)
    return [start + place * half // each for start in (0, count - half) for place in range(each)]


def of_measure(row: Mapping[str, Any], measure: str, figure: str = "value") -> float:
    """A figure of a measure in a row; NaN where it was not measured."""
    found = row["measures"].get(measure)
    return float("nan") if found is None or found[figure] is None else float(found[figure])
