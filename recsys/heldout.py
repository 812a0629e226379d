"""Held-out rows as questions: from which history, excluding what, which items should a backbone have offered?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Split
from recsys.candidates import Backbone, IntArray
from recsys.metrics import PerPerson, evaluate


@dataclass(frozen=True, slots=True)
class HeldOut:
    """People with at least one held-out item; the four sequences share their order.

    `people` are user rows of the log, `histories` what the model may see, `exclude` what it may not offer, and
    `relevant` the distinct held-out items, none of them in `exclude`.
    """

    people: IntArray
    histories: list[IntArray]
    exclude: list[IntArray]
    relevant: list[IntArray]

    def take(self, chosen: NDArray[np.bool_]) -> "HeldOut":
        """The people where `chosen` [people] holds."""
        places = np.flatnonzero(chosen).tolist()
        return HeldOut(
            self.people[chosen],
            [self.histories[p] for p in places],
            [self.exclude[p] for p in places],
            [self.relevant[p] for p in places],
        )

    @property
    def warm(self) -> NDArray[np.bool_]:
        """Who has a history, shape [people]; the others are cold."""
        return np.array([len(h) > 0 for h in self.histories], dtype=np.bool_)


def held_out(log: InteractionLog, target: Split) -> HeldOut:
    """Questions on validation rows, or on test rows with validation items excluded too (as RecBole does).

    The history is the training rows, for both.
    """
    if target is Split.TRAIN:
        raise ValueError("training rows are not held out")
    known = (Split.TRAIN,) if target is Split.VALID else (Split.TRAIN, Split.VALID)
    histories = log.only(Split.TRAIN).histories()
    excluded = [np.unique(h) for h in log.only(*known).histories()]
    wanted = [np.setdiff1d(h, seen) for h, seen in zip(log.only(target).histories(), excluded, strict=True)]
    people = [row for row, items in enumerate(wanted) if len(items)]
    return HeldOut(
        np.array(people, dtype=np.int64),
        [histories[p] for p in people],
        [excluded[p] for p in people],
        [wanted[p] for p in people],
    )


def last_out(log: InteractionLog) -> tuple[InteractionLog, HeldOut]:
    """The log without each person's last row, and that row as the question. Raises LetheError where nobody has two.

    An item met before, too, is no question: the row stays held out, and the person is not asked.
    """
    order = np.argsort(log.user, kind="stable")
    bounds = np.searchsorted(log.user[order], np.arange(len(log.users) + 1))
    kept = np.ones(len(log), dtype=np.bool_)
    people: list[int] = []
    histories: list[IntArray] = []
    relevant: list[IntArray] = []
    for person, (first, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        rows = order[first:end]
        if len(rows) < 2:
            continue
        kept[rows[-1]] = False
        history, last = log.item[rows[:-1]], log.item[rows[-1:]]
        if last[0] not in history:
            people.append(person)
            histories.append(history)
            relevant.append(last)
    if not people:
        raise LetheError("nobody has two items: there is no last one to ask for; ingest more interactions")
    excluded = [np.unique(history) for history in histories]
    return log.take(kept), HeldOut(np.array(people, dtype=np.int64), histories, excluded, relevant)


def served(backbone: Backbone, questions: HeldOut, k: int) -> PerPerson:
    """Metrics of the served path: lists from `backbone.candidates`, full ranking, every person with a history."""
    if not questions.warm.all():
        cold = int((~questions.warm).sum())
        raise LetheError(f"{cold} people have no history: take the warm ones, and serve the others by popularity")
    return evaluate(lists(backbone, questions, k), questions.relevant, k)


def lists(backbone: Backbone, questions: HeldOut, k: int) -> Sequence[IntArray]:
    """The k items that the backbone offers each person, best first."""
    return [c.rows for c in backbone.candidates(questions.histories, questions.exclude, k)]
