"""Attacks: measured for one forgetting, and told over seeds beside the base."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import polars as pl

from pipelines.evaluate_concepts.cells import Kept, Measured
from pipelines.evaluate_concepts.measures import Case
from pipelines.evaluate_concepts.spec import BASE
from unlearning.concept.attacks.outcome import Outcome, comeback
from unlearning.concept.attacks.suite import attack, attempts, relearning
from unlearning.concept.base import Progress

KNOWN, PROBABILITY = "known", "probability"

SCHEMA = {
    "attack": pl.String,
    "setting": pl.String,
    "step": pl.Int64,
    "measure": pl.String,
    "place": pl.Int64,
    "item": pl.String,
    "value": pl.Float64,
}
"""One row a question; `step` is null where an attack takes none. A mean probability is one row without an item."""

_BY = ("attack", "setting", "step", "measure")
_PLAIN = ("format", "plain")


def measured(case: Case, *, method: str, progress: Progress) -> Measured:
    """Every attack in its fixed budget; of the base's relearning only what it knows before it matters."""
    asked = case.subject
    found = attack(case.base, case.forgetting, asked.concept, asked.asked, seed=case.draw)
    tries = tuple(attempts(asked.probes, seed=case.draw))
    budget = replace(case.budget, steps=case.budget.steps[:1]) if method == BASE else case.budget
    learned = relearning(case.base, case.forgetting, tries, budget, seed=case.seed, progress=progress)
    frames = [_rows(one, step=None) for one in found] + [_rows(one, step=one.steps) for one in learned]
    return Measured(pl.concat([pl.DataFrame(schema=SCHEMA), *frames]))


def _rows(one: Outcome, *, step: int | None) -> pl.DataFrame:
    count = len(one.known.values)
    about = {"attack": one.attack, "setting": one.variant, "step": step}
    known = [
        {**about, "measure": KNOWN, "place": place, "item": one.known.items[place], "value": float(value)}
        for place, value in enumerate(one.known.values)
    ]
    mean = {**about, "measure": PROBABILITY, "place": count, "item": None, "value": float(one.probability)}
    return pl.DataFrame([*known, mean], schema=SCHEMA)


def told(cells: Sequence[Kept]) -> list[dict[str, Any]]:
    """One entry for every attack, setting, step and measure: mean and deviation over seeds, and how many there are."""
    if not cells:
        return []
    each = [cell.rows.group_by(_BY, maintain_order=True).agg(pl.col("value").mean()) for cell in cells]
    found = pl.concat(each).group_by(_BY, maintain_order=True)
    spread = pl.col("value").std().alias("spread")
    return found.agg(pl.col("value").mean(), spread, pl.len().alias("seeds")).to_dicts()


def with_comebacks(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same rows of a table; each attack with the share of the forgotten answers that it brings back.

    Relearning is held against the model before its first step, other attacks against the plain question.
    """
    base = next((_known(row["attacks"]) for row in rows if row["method"] == BASE), {})
    made = []
    for row in rows:
        own = _known(row["attacks"])
        made.append({**row, "attacks": [{**one, "back": _back(one, base, own)} for one in row["attacks"]]})
    return made


_Key = tuple[str, str, int | None]


def _known(attacks: Sequence[Mapping[str, Any]]) -> dict[_Key, float]:
    return {(one["attack"], one["setting"], one["step"]): one["value"] for one in attacks if one["measure"] == KNOWN}


def _back(one: Mapping[str, Any], base: Mapping[_Key, float], own: Mapping[_Key, float]) -> float | None:
    """None where nothing had gone, or where the figure is none of known answers."""
    before: _Key = (*_PLAIN, None) if one["step"] is None else (one["attack"], one["setting"], 0)
    in_base = base.get(before, base.get((before[0], "fresh", before[2])))
    if one["measure"] != KNOWN or in_base is None or before not in own or "choice" in one["setting"]:
        return None
    share = comeback(in_base, own[before], one["value"])
    return None if isnan(share) else share
