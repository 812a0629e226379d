"""The tables: for each scorer the models beside each other, perturbation by perturbation, from finished cells alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from pipelines.drift import cells
from pipelines.drift.figures import ASKED, LISTS, WORDS, Floats, agreement, by_person, fused, intervals, share, told
from pipelines.drift.instances import PERTURBED, Kind
from pipelines.drift.run import Lab, Outcome, Wish
from pipelines.drift.spec import BASE, FREE, Spec
from pipelines.evaluate.keep import Keeper

P = 0.9
"""Of rank-biased overlap: the first ten places weigh 86%."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is kept of one scorer on one model, by kind; scores stand beside those as served."""

    state: str
    scorer: str
    kinds: Mapping[Kind, pl.DataFrame]

    @property
    def measures(self) -> tuple[str, ...]:
        """What tells agreement, the chief one first."""
        return WORDS if self.scorer == FREE else LISTS


def read(lab: Lab, wish: Wish, outcome: Outcome, *, p: float = P, weight: float = 1.0) -> list[Rows]:
    """Every scorer on every model of which the answers as served are kept.

    With a weight below 1, of the lists that backbone and model give together.
    """
    asked = ((one.person, one.number, list(one.backbone)) for one in lab.requests)
    schema: dict[str, Any] = {**dict.fromkeys(ASKED, pl.Int64), "backbone": pl.List(pl.Float64)}
    backbone = pl.DataFrame(list(asked), schema=schema, orient="row")
    return kept_rows(lab.keeper, wish.scorers, outcome.specs, p=p, served=None if weight == 1 else (backbone, weight))


def kept_rows(
    keeper: Keeper,
    scorers: Sequence[str],
    specs: Sequence[Spec],
    *,
    p: float = P,
    served: tuple[pl.DataFrame, float] | None = None,
) -> list[Rows]:
    """The same of specs alone; `served` are the backbone's scores and the model's weight, as `fused` takes them."""
    found = []
    for scorer in scorers:
        for state in dict.fromkeys(spec.state for spec in specs):
            own = {s.kind: cells.load(keeper, s) for s in specs if (s.scorer, s.state) == (scorer, state)}
            kept = {kind: rows for kind, rows in own.items() if rows is not None}
            if served is not None and scorer != FREE:
                kept = {kind: fused(rows, *served) for kind, rows in kept.items()}
            reference = kept.get(Kind.SERVED)
            if reference is not None and scorer != FREE:
                kept = {kind: agreement(rows, reference, p=p) for kind, rows in kept.items()}
            if reference is not None:
                found.append(Rows(state, scorer, kept))
    return found


def frame(found: Sequence[Rows]) -> pl.DataFrame:
    """Every answer as one row: the scorer, the model, the person's place, what was done, and the agreement."""
    parts = [
        rows.select(pl.lit(one.scorer).alias("scorer"), pl.lit(one.state).alias("model"), pl.all())
        for one in found
        for rows in one.kinds.values()
    ]
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def summarise(
    lab: Lab, wish: Wish, outcome: Outcome, found: Sequence[Rows], *, p: float = P, weight: float = 1.0
) -> dict[str, Any]:
    """Everything that a run found, as one JSON document; `weight` is that of the lists that were read."""
    done, over = outcome.done, Over(lab.asking.people, wish.seed, p)
    return {
        "model": {"name": lab.model.name, "fingerprint": lab.model.fingerprint},
        "data": {"split": lab.split, **asdict(lab.asking)},
        "adapters": dict(lab.adapters),
        "seed": wish.seed,
        "draws": wish.draws,
        "p": p,
        "weight": weight,
        "quick": wish.quick,
        "cells": {"finished": done.measured + done.skipped, "measured_now": done.measured, "left": done.left},
        "failed": [{"cell": name, "error": error} for name, error in done.failed],
        "tables": tables(wish.scorers, found, over),
    }


def tables(scorers: Sequence[str], found: Sequence[Rows], over: "Over") -> list[dict[str, Any]]:
    """One for each scorer."""
    return [_scorer(name, [one for one in found if one.scorer == name], over) for name in scorers]


@dataclass(frozen=True, slots=True)
class Over:
    """What figures are taken over: people, resampled with a seed; and how steeply overlap is weighed."""

    people: int
    seed: int
    p: float

    def told(self, parts: Sequence[pl.DataFrame], measures: Sequence[str]) -> list[dict[str, Any]]:
        """As `figures.told`."""
        return told(parts, measures, self.people, self.seed)

    def drift(self, one: Rows, kind: Kind) -> Floats:
        """1 - the chief measure, by person."""
        return 1 - by_person(one.kinds[kind], one.measures[0], self.people)


def _scorer(name: str, own: Sequence[Rows], over: Over) -> dict[str, Any]:
    base = next((one for one in own if one.state == BASE), None)
    return {
        "scorer": name,
        "measures": list(WORDS if name == FREE else LISTS),
        "models": [_model(one, None if one is base else base, over) for one in own],
    }


def _model(one: Rows, before: Rows | None, over: Over) -> dict[str, Any]:
    kinds = [kind for kind in PERTURBED if kind in one.kinds]
    return {
        "model": one.state,
        "unusable": sum(int((~rows["usable"]).sum()) for rows in one.kinds.values()),
        "rows": _kinds(kinds, one, before, over),
        "instances": _instances(kinds, one, over),
        "order_share": _order_share(one, over),
        "moved": None if before is None or one.scorer == FREE else _moved(one, before, over),
    }


def _kinds(kinds: Sequence[Kind], one: Rows, before: Rows | None, over: Over) -> list[dict[str, Any]]:
    parts = [one.kinds[kind] for kind in kinds]
    changes = intervals([_change(kind, one, before, over) for kind in kinds], over.seed)
    return [
        {"kind": kind.value, "instances": rows["instance"].n_unique(), **found, "change": change}
        for kind, rows, found, change in zip(kinds, parts, over.told(parts, one.measures), changes, strict=True)
    ]


def _change(kind: Kind, one: Rows, before: Rows | None, over: Over) -> Floats:
    """By how much the chief measure rose from the base, by person; NaN where there is nothing before."""
    if before is None or kind not in before.kinds:
        return np.full(over.people, np.nan)
    return over.drift(before, kind) - over.drift(one, kind)


def _instances(kinds: Sequence[Kind], one: Rows, over: Over) -> list[dict[str, Any]]:
    parts = [rows for kind in kinds for rows in one.kinds[kind].partition_by("instance", maintain_order=True)]
    return [
        {"kind": rows["kind"][0], "instance": rows["instance"][0], **found}
        for rows, found in zip(parts, over.told(parts, one.measures), strict=True)
    ]


def _order_share(one: Rows, over: Over) -> dict[str, float] | None:
    """Drift under another order of the candidates alone, over that under another wording and order together.

    None where nothing drifts, or either is not measured.
    """
    if not {Kind.ORDER, Kind.BOTH} <= one.kinds.keys():
        return None
    return share(over.drift(one, Kind.ORDER), over.drift(one, Kind.BOTH), over.seed)


def _moved(one: Rows, before: Rows, over: Over) -> dict[str, Any]:
    """How far the lists as served agree with those before the forgetting."""
    rows = agreement(one.kinds[Kind.SERVED].drop(LISTS), before.kinds[Kind.SERVED], p=over.p)
    (found,) = over.told([rows], LISTS)
    return found
