"""Retrain: the backbone from scratch on the rows that stay, with a seed that no other generation had."""

from collections.abc import Callable

from db.log import InteractionLog
from recsys.candidates import Backbone

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
