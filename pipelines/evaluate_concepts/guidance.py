"""Where choosing neurons pays: a guided mask beside random ones of the same size, figure by figure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any

from pipelines.evaluate_concepts.attacked import KNOWN
from pipelines.evaluate_concepts.goals import RELEARNT
from pipelines.evaluate_concepts.spec import drawn
from pipelines.evaluate_concepts.trainings import Runs, welch
from unlearning.concept.evaluate import FORGET, KEEP, TEXT
from unlearning.concept.settings import MaskName

Found = Mapping[str, Any]

DEPTH, RELEARNED, STEPS = "depth", "known after relearning half", "steps taken"

GUIDED, RANDOM, LEVEL, UNKNOWN = "guided", "random", "cannot tell", "one training"
"""Who does better; two that differ by less than chance; and where a deviation is missing."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Guided minus random, with the ends of its 95% interval over trainings, and who does better by it."""

    figure: str
    guided: float
    random: float
    difference: float
    low: float
    high: float
    better: str


def guidance(rows: Sequence[Found]) -> list[dict[str, Any]]:
    """An entry for each guided method and each method with random masks of its size; `figures` are what both have."""
    found = []
    for row in rows:
        stem, size = row["method"].removesuffix(f"-{MaskName.GUIDED.value}"), row["label"].partition("/")[2]
        for other in rows:
            like = drawn(other["method"]) and other["method"].rpartition("-")[0] == stem
            if like and other["label"].partition("/")[2] == size:
                figures = [asdict(one) for one in _compared(row, other)]
                found.append({"guided": row["label"], "random": other["label"], "figures": figures})
    return found


def _compared(guided: Found, random: Found) -> Iterator[Compared]:
    theirs = dict(_figures(random))
    for name, mine in _figures(guided):
        if name in theirs and isfinite(mine.mean) and isfinite(theirs[name].mean):
            yield compared(name, mine, theirs[name], more=name == DEPTH or (name in KEEP and name != TEXT))


def _figures(row: Found) -> Iterator[tuple[str, Runs]]:
    for name in (*FORGET, *KEEP):
        if name in row["measures"]:
            own = row["measures"][name]
            yield name, Runs(own["value"], nan if own["spread"] is None else own["spread"], row["seeds"])
    yield DEPTH, Runs.of([one["score"] for one in row["depth"] if not one["void"]])
    attack, step = RELEARNT
    for one in row["attacks"]:
        if (one["attack"], one["setting"], one["step"], one["measure"]) == (attack, "fresh", step, KNOWN):
            yield RELEARNED, Runs(one["value"], nan if one["spread"] is None else one["spread"], one["seeds"])
    yield STEPS, Runs.of(row["cost"]["steps"])


def compared(figure: str, guided: Runs, random: Runs, *, more: bool) -> Compared:
    """Welch's interval of the difference of means; `more` says that more is better.

    >>> one = compared("depth", Runs(0.9, 0.01, 3), Runs(0.5, 0.02, 5), more=True)
    >>> one.better, round(one.low, 3), round(one.high, 3)
    ('guided', 0.374, 0.426)
    """
    found = welch(guided, random)
    if not isfinite(found.low):
        better = UNKNOWN
    elif found.excludes_zero:
        better = GUIDED if (found.mean > 0) is more else RANDOM
    else:
        better = LEVEL
    return Compared(figure, guided.mean, random.mean, found.mean, found.low, found.high, better)
