"""What a forgetting should reach, for each row of a table: the figure, its bound, and whether it stays within."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, isnan, nan
from typing import Any

from pipelines.evaluate_concepts.attacked import KNOWN
from unlearning.concept.base import ProbeKind
from unlearning.concept.cells import CANNOT_TELL
from unlearning.concept.evaluate import MEMORY, RANKING, TEXT, accuracy_of, preference_of
from unlearning.concept.probe_kinds import GENRES, TITLE

Found = Mapping[str, Any]

OK, OVER, ABSENT = "ok", "over", "not measured"
NO_ORACLE = "no oracle"

FAMILIES = 4
"""So many families of measures must tell base and oracle apart."""

RELEARNT = ("relearn half", 50)
"""The attack that is bounded, and after how many of its steps."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that should be at most `limit`; NaN where there is none, and `state` says why."""

    name: str
    value: float
    limit: float
    state: str


def of_row(row: Found, oracle: Found | None, unmet: Mapping[str, float]) -> list[dict[str, Any]]:
    """Every goal of one method; `oracle` is the row of the oracles, `unmet` what the base chooses of unknown titles."""
    return [asdict(goal) for goal in _goals(row, oracle, unmet)]


def _goals(row: Found, oracle: Found | None, unmet: Mapping[str, float]) -> Iterator[Goal]:
    yield _gap(row, "memory, from the oracle", [accuracy_of(kind) for kind in MEMORY], oracle)
    yield _gap(row, "forced choice, from the oracle", [preference_of(form) for form in (GENRES, TITLE)], oracle)
    apart = [abs(row["measures"][name]["value"] - chosen) for name, chosen in unmet.items() if name in row["measures"]]
    yield _bounded("forced choice, from titles that do not exist", max(apart, default=nan), 0.03)
    yield _bounded("retained answers lost", _lost(row, accuracy_of(ProbeKind.RETAIN)), 0.01)
    yield _bounded("neighbours' answers lost", _lost(row, accuracy_of(ProbeKind.NEIGHBOUR)), 0.02)
    yield _bounded("ranking of others lost", 1 - _ratio(row, RANKING), 0.02)
    for name, found in (row["ranking"] or {}).items():
        yield _bounded(f"{name}, real people, lost", 1 - _nan(found["ratio"]), 0.02)
    yield _bounded("perplexity ratio - 1", exp(-_lost(row, TEXT)) - 1, 0.05)
    yield _depth(row, oracle)
    backs = [_back(row, "quantised", f"4 bits, {how}", None) for how in ("merged", "beside")]
    yield _bounded("brought back by 4 bits", max(backs) if not any(map(isnan, backs)) else nan, 0.05)
    yield _relearnt(row, oracle)


def _gap(row: Found, name: str, measures: Sequence[str], oracle: Found | None, limit: float = 0.03) -> Goal:
    """The largest distance over the measures that can tell: from the oracle, or from the ends of several oracles."""
    if oracle is None:
        return Goal(name, nan, limit, NO_ORACLE)
    cells = {measure: row["measures"][measure] for measure in measures if measure in row["measures"]}
    gaps = [_outside(cell, oracle["measures"][measure]["ends"]) for measure, cell in cells.items() if cell["tells"]]
    return _bounded(name, max(gaps), limit) if gaps else Goal(name, nan, limit, CANNOT_TELL if cells else ABSENT)


def _outside(cell: Found, ends: Sequence[float]) -> float:
    """How far a figure is from the span of the oracles' means; 0 within it."""
    low, high = ends
    return max(0.0, float(cell["value"]) - high, low - float(cell["value"]))


def _lost(row: Found, measure: str) -> float:
    """Base minus value."""
    cell = row["measures"].get(measure)
    return nan if cell is None else float(cell["base"] - cell["value"])


def _ratio(row: Found, measure: str) -> float:
    cell = row["measures"].get(measure)
    return float(cell["value"] / cell["base"]) if cell and cell["base"] > 0 else nan


def _depth(row: Found, oracle: Found | None) -> Goal:
    """A score of 0.8, or as much as one oracle has beside another; none beside an oracle whose control fails."""
    name, limit = "1 - depth", 0.2
    if not row["depth"]:
        return Goal(name, nan, limit, ABSENT if oracle else NO_ORACLE)
    scores, theirs = (
        [one["score"] for one in of["depth"] if not isnan(_nan(one["score"]))] if of else [] for of in (row, oracle)
    )
    if not scores:
        return Goal(name, nan, limit, CANNOT_TELL)
    return _bounded(name, 1 - sum(scores) / len(scores), max(limit, 1 - min(theirs, default=1.0)))


def _relearnt(row: Found, oracle: Found | None) -> Goal:
    """Half may come back, or as much as in the oracle."""
    attack, step = RELEARNT
    theirs = _back(oracle, attack, "fresh", step) if oracle else nan
    limit = 0.5 if isnan(theirs) else max(0.5, theirs)
    return _bounded(f"brought back by {attack}, {step} steps", _back(row, attack, "fresh", step), limit)


def _back(row: Found, attack: str, setting: str, step: int | None) -> float:
    key = (attack, setting, step, KNOWN)
    backs = [one["back"] for one in row["attacks"] if _key(one) == key]
    return _nan(backs[0]) if backs else nan


def _key(one: Found) -> tuple[str, str, int | None, str]:
    return one["attack"], one["setting"], one["step"], one["measure"]


def _bounded(name: str, value: float, limit: float) -> Goal:
    return Goal(name, value, limit, ABSENT if isnan(value) else OK if value <= limit else OVER)


def _nan(value: float | None) -> float:
    return nan if value is None else float(value)
