"""How far a generation is from models that never saw the rows: by lists, or by scores where those must be equal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    """The generation before, which forgot nothing, and the one that is audited; by which method it was made."""

    name: str
    old: Backbone
    new: Backbone
    method: str
    frozen: dict[str, Any]
    """Settings that the new one was made with, and the oracles are."""
    control: Backbone | None = None
    """A model that forgot nothing, where the generation before is none."""

    @property
    def remembers(self) -> Backbone:
        """The model that forgot nothing."""
        return self.control or self.old


def oracles(compared: Compared, rows: Around, *, seed: int, progress: Progress) -> list[Backbone]:
    """Models trained for this on what readers still see, with the backbone's settings and seeds of their own."""
    made = []
    for n in range(1, ORACLES + 1):
        with progress(f"train oracle {n} of {ORACLES}") as bar:
            own = fresh_seed(seed, n)
            made.append(models.refit(compared.name, rows.after.inhabited(), compared.frozen, seed=own, progress=bar))
    return made


def distances(compared: Compared, rows: Around, trained: Sequence[Backbone], *, seed: int) -> list[Verdict]:
    """The distance to the oracles for the forgotten people's neighbours and for people by lot; none without others."""
    lists = _lists(rows)
    return [
        verdict
        for who, people in _samples(rows, seed).items()
        for verdict in oracle.verdicts(
            f"{who} {compared.name}",
            lists(compared.new, people),
            [lists(one, people) for one in trained],
            lists(compared.remembers, people),
        )
    ]


def score_distance(compared: Compared, rows: Around, *, seed: int) -> list[Verdict]:
    """The same for a closed form: max |ΔS| to computations on what readers still see that differ in rounding alone."""
    samples = _samples(rows, seed)
    if not samples:
        return []
    people = np.unique(np.concatenate(list(samples.values())))
    histories = rows.after.histories()

    def _fit(log: Any, own: int) -> Backbone:
        return models.refit(compared.name, log, compared.frozen, seed=own, progress=lambda done, total: None)

    seeds = [fresh_seed(seed, n) for n in range(1, ORACLES + 1)]
    found = oracle.score_verdict(
        compared.new.scores,
        [oracle.in_other_order(_fit, rows.after, own) for own in seeds],
        compared.remembers.scores,
        [histories[row] for row in people.tolist()],
    )
    return [replace(found, audit=f"{found.audit} {compared.name}")]


def _samples(rows: Around, seed: int) -> dict[str, IntArray]:
    count = min(PEOPLE, len(np.setdiff1d(rows.after.user, rows.forgotten)))
    if count == 0:
        return {}
    return {
        "neighbours": oracle.neighbours(rows.before, rows.forgotten, count),
        "strangers": oracle.strangers(rows.after, rows.forgotten, count, seed=seed),
    }


def _lists(rows: Around) -> Callable[[Backbone, IntArray], IntArray]:
    histories: Sequence[IntArray] = rows.after.histories()
    depth = min(oracle.DEPTH, len(rows.after.items))

    def _of(model: Backbone, people: IntArray) -> IntArray:
        theirs = [histories[row] for row in people.tolist()]
        return oracle.lists_of(model, theirs, [np.unique(history) for history in theirs], depth)

    return _of
