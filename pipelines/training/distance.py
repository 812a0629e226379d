"""The audit of an approximate generation: how far its lists are from those of models that never saw the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.records import Verdict
from pipelines import models
from pipelines.generations import fresh_seed
from pipelines.training.around import Around
from pipelines.training.job import Progress
from recsys.candidates import Backbone, IntArray
from unlearning.audit import oracle

ORACLES = 3
"""Trainings from scratch that are compared with; fewer set no limit."""

PEOPLE = 200
"""Others whose lists are compared, of each sample."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The generation before, which forgot nothing, and the one that is audited."""

    name: str
    old: Backbone
    new: Backbone


def distances(
    compared: Compared, rows: Around, frozen: dict[str, Any], *, seed: int, progress: Progress
) -> list[Verdict]:
    """The distance to the oracle for the forgotten people's neighbours and for people by lot; none without others.

    The oracles are trained for this on what readers still see, with the backbone's settings and seeds of their own.
    """
    others = np.setdiff1d(rows.after.user, rows.forgotten)
    count = min(PEOPLE, len(others))
    if count == 0:
        return []
    oracles = []
    for n in range(1, ORACLES + 1):
        with progress(f"train oracle {n} of {ORACLES}") as bar:
            own = fresh_seed(seed, n)
            oracles.append(models.refit(compared.name, rows.after, frozen, seed=own, progress=bar))
    samples = {
        "neighbours": oracle.neighbours(rows.before, rows.forgotten, count),
        "strangers": oracle.strangers(rows.after, rows.forgotten, count, seed=seed),
    }
    lists = _lists(rows)
    return [
        verdict
        for who, people in samples.items()
        for verdict in oracle.verdicts(
            f"{who} {compared.name}",
            lists(compared.new, people),
            [lists(one, people) for one in oracles],
            lists(compared.old, people),
        )
    ]


def _lists(rows: Around) -> Callable[[Backbone, IntArray], IntArray]:
    histories: Sequence[IntArray] = rows.after.histories()
    depth = min(oracle.DEPTH, len(rows.after.items))

    def _of(model: Backbone, people: IntArray) -> IntArray:
        theirs = [histories[row] for row in people.tolist()]
        return oracle.lists_of(model, theirs, [np.unique(history) for history in theirs], depth)

    return _of
