"""What is drawn of a concept: forgetting against retention, relearning, and masks of one size beside each other."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np

from pipelines.evaluate import pictures as dots
from pipelines.evaluate.pictures import Dot, Picture
from pipelines.evaluate_concepts.attacked import KNOWN
from pipelines.evaluate_concepts.charts import Chart, Point, Series, svg
from pipelines.evaluate_concepts.spec import BASE, FORKS
from pipelines.evaluate_concepts.summary import of_measure
from unlearning.concept.attacks.trainable import Way
from unlearning.concept.base import ProbeKind
from unlearning.concept.evaluate import accuracy_of
from unlearning.concept.methods import TRAINED
from unlearning.concept.settings import MaskName

Found = Mapping[str, Any]

LEFT_KINDS = (
    ProbeKind.DIRECT,
    ProbeKind.PARAPHRASE,
    ProbeKind.REVERSED,
    ProbeKind.INDIRECT,
    ProbeKind.FORCED_PREFIX,
)
"""What is left of the concept is the mean accuracy over these kinds."""
KEPT_KINDS = (ProbeKind.NEIGHBOUR, ProbeKind.RETAIN)

_GUIDED, _OTHERS, _UNTRAINED, _PROMPT = "masked LoRA, guided", "masked LoRA, other masks", "no training", "prompt"
_FAMILIES = (*FORKS, _GUIDED, _OTHERS, _UNTRAINED, _PROMPT)


FRESH = Way.FRESH.value

_STEPS = (False, True)
"""Steps are no shares, answers are."""
_FITTED = (False, False)
"""What is left and kept differs by hundredths: the axes show where the points are."""


def drawn(one: Found) -> dict[str, str]:
    """SVG documents by name: `tradeoff`, and where there is something to draw `relearning-SETTING` and `masks`."""
    found = {}
    chart = tradeoff(one)
    if not chart.empty:
        found["tradeoff"] = svg(chart)
    found |= {f"relearning-{number}": svg(curve) for number, curve in enumerate(relearning(one))}
    masks = masks_compared(one)
    if len(masks.lines) > 1:
        found["masks"] = dots.svg(masks)
    return found


def mean_of(row: Found, kinds: Sequence[ProbeKind], figure: str = "value") -> float:
    """Mean accuracy over the kinds that were asked; NaN for none. Of spreads: their root mean square over the count."""
    values = [of_measure(row, accuracy_of(kind), figure) for kind in kinds]
    known = [value for value in values if not isnan(value)]
    if not known:
        return float("nan")
    return float(np.sqrt(np.sum(np.square(known))) / len(known)) if figure == "spread" else float(np.mean(known))


def tradeoff(one: Found) -> Chart:
    """Every method: what is left of the concept, and what is kept of all else."""
    points: dict[str, list[Point]] = {family: [] for family in _FAMILIES}
    for row in one["rows"]:
        x, y = (mean_of(row, kinds) for kinds in (LEFT_KINDS, KEPT_KINDS))
        dx, dy = (mean_of(row, kinds, "spread") for kinds in (LEFT_KINDS, KEPT_KINDS))
        points[family(row["method"])].append(Point(x, y, dx, dy, row["label"]))
    series = [Series(name, own) for name, own in points.items() if own]
    title = f"{one['name']}: answers left on the concept, answers kept elsewhere (bars: deviation over seeds)"
    return Chart(
        title, "accuracy on the concept, held-out questions", "accuracy on neighbours and others", series, _FITTED
    )


def family(method: str) -> str:
    """The series of a method in the picture."""
    if method in FORKS:
        return method
    if method in TRAINED:
        return _GUIDED if method.endswith(f"-{MaskName.GUIDED.value}") else _OTHERS
    return _PROMPT if method == _PROMPT else _UNTRAINED


def relearning(one: Found) -> list[Chart]:
    """One chart for each relearning attack: how fast the answers come back, by a fresh adapter or the own one."""
    curves: dict[str, list[Series]] = {}
    for row in one["rows"]:
        own: dict[tuple[str, str], list[Point]] = {}
        for found in row["attacks"]:
            if found["step"] is not None and found["measure"] == KNOWN and row["method"] != BASE:
                key = (found["attack"], found["setting"])
                own.setdefault(key, []).append(Point(found["step"], found["value"], 0.0, found["spread"] or 0.0))
        for (attack, setting), points in own.items():
            name = row["label"] + (f", {setting}" if setting != FRESH else "")
            curves.setdefault(attack, []).append(Series(name, sorted(points, key=lambda p: p.x), joined=True))
    return [
        Chart(f"{one['name']}: {attack}", "steps of relearning", "answered exactly", series, _STEPS)
        for attack, series in curves.items()
    ]


def masks_compared(one: Found) -> Picture:
    """Masks under one loss, that with most of them: what is left, and what is kept, with the deviation over seeds."""
    named = {"left on the concept": LEFT_KINDS, "neighbours": KEPT_KINDS[:1], "others": KEPT_KINDS[1:]}
    by_loss: dict[str, list[tuple[str, list[Dot]]]] = {}
    for row in one["rows"]:
        if row["method"] in TRAINED:
            line = (row["label"], [_dot(row, name, kinds) for name, kinds in named.items()])
            by_loss.setdefault(row["method"].rpartition("-")[0], []).append(line)
    loss = max(by_loss, key=lambda name: len(by_loss[name]), default="")
    return Picture(f"{one['name']}: masks under one loss ({loss}), accuracy", by_loss.get(loss, []))


def _dot(row: Found, name: str, kinds: Sequence[ProbeKind]) -> Dot:
    value, wide = mean_of(row, kinds), mean_of(row, kinds, "spread")
    return Dot(name, value) if isnan(wide) else Dot(name, value, value - wide, value + wide)
