"""Requests to forget a person: the cells of `lethe evaluate forgetting`, looked at surface by surface.

No person's row ever entered the language model, so no adapter can take one out: to the backbone's surfaces an arm that
acts on the model alone is as if nobody had asked, and one that acts on both is as its search.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from pipelines.compare.arms import Arm
from pipelines.compare.rows import NOT_MEASURED, Row, absent, ended, of_cell
from pipelines.evaluate import methods
from pipelines.evaluate.answers import View
from pipelines.evaluate.audience import Group
from pipelines.evaluate.cell import AFTER
from pipelines.evaluate.panel import STAY, Panel, Slice
from pipelines.evaluate.run import Lab, Outcome, load_cells
from pipelines.evaluate.shadows import grouped, verdicts
from recsys.candidates import IntArray
from unlearning.audit.oracle import distances
from unlearning.concept.cells import FloatArray, Sample, cell

ASKED = pl.col("group") == Group.FORGOTTEN.value

OWN, RETURNED = "own list", "own list, history given back"
NEIGHBOURS, OTHERS, MEMBERSHIP = "neighbours' lists", "others' lists", "membership"

PARTS: Mapping[str, Slice] = {
    OWN: Slice(AFTER, View.SERVED, ASKED),
    RETURNED: Slice(AFTER, View.RETURNED, ASKED),
    NEIGHBOURS: Slice(AFTER, View.SERVED, STAY & pl.col("neighbour")),
    OTHERS: Slice(AFTER, View.SERVED, STAY & pl.col("random")),
}
"""Surfaces that are lists."""

TOLD = {
    OWN: "1 - RBO of the list that the person who asked is served, to the oracles'",
    RETURNED: "the same where the old history comes back: what the backbone itself still knows",
    NEIGHBOURS: "1 - RBO to the oracles' lists, of people whose histories are like those forgotten",
    OTHERS: "the same of people by lot",
    MEMBERSHIP: "AUC of an attacker who tells from the backbone whether it was trained on a person; chance is 0.5",
}

Found = Mapping[str, Any]


def method_of(arm: Arm, backbone: str) -> str:
    """The way to forget rows that an arm comes to at the backbone."""
    if arm.absent:
        return methods.ORACLE
    if arm.erases:
        return "downdate" if backbone == "ease" else "retrain"
    return "shield" if arm.hides else methods.NONE


@dataclass(frozen=True, slots=True)
class Measured:
    """One surface of one method: its distances, the oracles' own, those without forgetting, and of how many seeds."""

    value: Sample
    oracle: Sample
    base: Sample
    seeds: int


def measured(panel: Panel, surface: str, method: str) -> Measured | None:
    """A method's distances to the oracles by person, beside the oracles' to each other and those without forgetting.

    None where something of it is not finished.
    """
    part, oracles = PARTS[surface], panel.of(methods.ORACLE)
    if len(oracles) < 3 or not panel.of(method) or not panel.of(methods.NONE):
        return None
    people = tuple(str(row) for row in part.of(oracles[0])["row"].to_list())
    theirs = [panel.lists(cell, part) for cell in oracles]
    own: FloatArray = np.mean([distances(a, b)["rbo"] for a, b in combinations(theirs, 2)], axis=0)
    base, value = (_to_oracles(panel, part, name, theirs) for name in (methods.NONE, method))
    value = own if method == methods.ORACLE else value
    return Measured(Sample(value, people), Sample(own, people), Sample(base, people), len(panel.of(method)))


def _to_oracles(panel: Panel, part: Slice, method: str, oracles: Sequence[IntArray]) -> FloatArray:
    """Mean distance over trainings and oracles, by person."""
    lists = [panel.lists(cell, part) for cell in panel.of(method)]
    found: FloatArray = np.mean([distances(own, other)["rbo"] for own in lists for other in oracles], axis=0)
    return found


def tables(lab: Lab, outcome: Outcome, arms: Sequence[Arm]) -> list[Row]:
    """One entry for each backbone and protocol, with a table for each surface."""
    attacked = [one for same in grouped(list(outcome.shadows)) if (one := verdicts(lab.keeper, same)) is not None]
    where = dict.fromkeys((spec.backbone, spec.protocol.name) for spec in outcome.specs)
    return [_protocol(lab, outcome, arms, one, attacked) for one in where]


def _protocol(
    lab: Lab, outcome: Outcome, arms: Sequence[Arm], where: tuple[str, str], attacked: Sequence[Found]
) -> Row:
    backbone, protocol = where
    specs = [spec for spec in outcome.specs if (spec.backbone, spec.protocol.name) == where]
    panel = Panel(backbone, protocol, tuple(load_cells(lab, specs)))
    rows = {name: partial(_listed, panel, name) for name in PARTS}
    own = [one for one in attacked if one["backbone"] == backbone]
    if own:
        rows[MEMBERSHIP] = partial(membership, own)
    surfaces = [
        {
            "surface": name,
            "told": TOLD[name],
            "kept": False,
            "scope": "a person",
            "rows": list(_rows(arms, backbone, make)),
        }
        for name, make in rows.items()
    ]
    return {
        "backbone": backbone,
        "protocol": protocol,
        "people": len(lab.world(specs[0]).forgetting.people),
        "requests": len(lab.world(specs[0]).forgetting.requests),
        "surfaces": surfaces,
    }


def _rows(arms: Sequence[Arm], backbone: str, make: "partial[Row | None]") -> Iterator[Row]:
    """A row for each arm; arms that come to one method share its figures, and say so."""
    first: dict[str, str] = {}
    for arm in arms:
        method = method_of(arm, backbone)
        found = make(method)
        twin = first.setdefault(method, arm.name)
        if found is None:
            yield absent(arm.name, NOT_MEASURED)
        else:
            yield {**found, "arm": arm.name, "method": method, "as": None if twin == arm.name else twin}


def _listed(panel: Panel, surface: str, method: str) -> Row | None:
    found = measured(panel, surface, method)
    if found is None:
        return None
    told = of_cell("", cell(surface, found.base, found.value, found.oracle))
    return {**told, "seeds": found.seeds, "spread": None, "asked": len(found.value.values)}


def membership(attacked: Sequence[Found], method: str) -> Row | None:
    """AUC after forgetting, beside the oracle's and that of the model that forgot nothing.

    The gap's interval combines both in quadrature, since they are estimated apart.
    """
    state = "oracle" if method == methods.ORACLE else "after"
    one = next((one for one in attacked if method in (one["method"], methods.ORACLE)), None)
    if one is None:
        return None
    value, oracle, before = (one["attacks"][which]["auc"] for which in (state, "oracle", "before"))
    apart, gap = before["mean"] - oracle["mean"], value["mean"] - oracle["mean"]
    down, up = (float(np.hypot(value[a] - value["mean"], oracle[b] - oracle["mean"])) for a, b in _ENDS)
    share = float("nan") if one["too_weak"] or not apart else (before["mean"] - value["mean"]) / apart
    return {
        "value": value["mean"],
        "base": before["mean"],
        "oracle": oracle["mean"],
        "gap": {"mean": gap, "low": gap - down, "high": gap + up},
        "change": None,
        "tells": not one["too_weak"],
        "forgotten": None if np.isnan(share) else share,
        "state": ended(share),
        "seeds": one["shadows"],
        "spread": None,
        "asked": one["pairs"],
    }


_ENDS = (("low", "high"), ("high", "low"))
