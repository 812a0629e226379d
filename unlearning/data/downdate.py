"""Downdate: EASE without the rows, exactly, from P alone (METHODS §2): P += PXᵀ(I − XPXᵀ)⁻¹XP, one rank-k update."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from db.log import InteractionLog
from recsys.candidates import IntArray
from recsys.ease import Ease, EaseFitter, RefitNeededError
from unlearning.data.base import Forgotten, Progress, quiet
from unlearning.data.difference import nothing_gone, rows_gone


@dataclass(frozen=True, slots=True)
class Change:
    """One person's item rows before and after; empty after means the whole person."""

    before: IntArray
    after: IntArray


def downdate(model: Ease, changes: Sequence[Change]) -> Ease:
    """The model as if it had been fitted on the rows after; works on the object it is given and returns it.

    Raises `RefitNeededError` where an update would lose digits; nothing is changed then.
    """
    moved = [c for c in changes if not np.array_equal(np.sort(c.before), np.sort(c.after))]
    model.replace([c.before for c in moved], [c.after for c in moved])
    return model


def changes(before: InteractionLog, after: InteractionLog) -> list[Change]:
    """One change for each person who has fewer rows in `after` than in `before`."""
    people = len(before.users)
    fewer = np.bincount(before.user, minlength=people) > np.bincount(after.user, minlength=people)
    old, new = before.histories(), after.histories()
    return [Change(old[person], new[person]) for person in np.flatnonzero(fewer)]


class Downdated:
    """Downdating as a `BackboneUnlearner`. `forget` changes the given model in place and returns it.

    Where an update would lose digits the model is fitted again instead, which the facts say.
    """

    name = "downdate"

    def __init__(self, fit: Callable[[InteractionLog], Ease] | None = None) -> None:
        self._fit = fit or EaseFitter().fit

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> Ease:
        """EASE of all rows; nothing in it is random."""
        made = self._fit(log)
        progress(1, 1)
        return made

    def forget(
        self, model: Ease, before: InteractionLog, after: InteractionLog, *, seed: int, progress: Progress = quiet
    ) -> Forgotten[Ease]:
        """EASE of the rows that stay, equal to a fit on them within rounding."""
        gone = rows_gone(before, after)
        if gone == 0:
            return nothing_gone(model)
        moved, refitted = changes(before, after), 0
        try:
            made = downdate(model, moved)
        except RefitNeededError:
            made, refitted = self._fit(after), 1
        progress(1, 1)
        return Forgotten(made, exact=True, facts={"rows": gone, "people": len(moved), "refitted": refitted})
