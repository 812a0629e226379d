"""Retrain: the backbone from scratch on the rows that stay, with a seed that no other generation had."""

from collections.abc import Callable

from db.log import InteractionLog
from recsys.candidates import Backbone
from unlearning.data.base import Forgotten, Progress, quiet
from unlearning.data.difference import nothing_gone, rows_gone

Fit = Callable[[InteractionLog, int], Backbone]
"""Fits a backbone on a log with a seed."""


def retrain(fit: Fit, survivors: InteractionLog, *, seed: int, previous: int | None) -> Backbone:
    """A model that never saw the forgotten rows.

    Raises ValueError when `seed` is that of the previous generation: item tables of two trainings with one seed give
    a forgotten person away (AUC 0.99 against 0.50 with a fresh seed).
    """
    if seed == previous:
        raise ValueError(f"seed {seed} was used for the previous generation; a retraining needs a fresh one")
    return fit(survivors, seed)


class Retrain:
    """A `BackboneUnlearner`, and the oracle of all others: nothing of the old model goes into the new one."""

    name = "retrain"

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> Backbone:
        """The model of all rows."""
        return self._made(log, seed, progress)

    def forget(
        self, model: Backbone, before: InteractionLog, after: InteractionLog, *, seed: int, progress: Progress = quiet
    ) -> Forgotten[Backbone]:
        """The model of the rows that stay."""
        gone = rows_gone(before, after)
        if gone == 0:
            return nothing_gone(model)
        return Forgotten(self._made(after, seed, progress), exact=True, facts={"rows": gone})

    def _made(self, log: InteractionLog, seed: int, progress: Progress) -> Backbone:
        made = retrain(self._fit, log, seed=seed, previous=None)
        progress(1, 1)
        return made
