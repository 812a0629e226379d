"""A row of a table as JSON keeps it: value, oracle, gap with its interval, seeds, and how it ended."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

import numpy as np

from unlearning.concept.cells import CANNOT_TELL, Cell, Sample

GONE, PARTLY, LEFT = "gone", "partly", "left"
KEPT, LOST = "kept", "lost"
NO_ORACLE, NOT_MEASURED, NOT_APPLICABLE = "no oracle", "not measured", "not applicable"

WHOLE, NOTHING = 0.9, 0.1
"""Shares of the way from the model that forgot nothing to the oracle: from the first on all is gone."""

MOST_LOST = 0.02
"""Of a figure that must stay."""

Row = dict[str, Any]

_FIGURES = ("value", "base", "oracle", "gap", "change", "forgotten", "spread", "as")


def mean(samples: Sequence[Sample]) -> Sample | None:
    """The mean over seeds of every question's value; None for no seed."""
    if not samples:
        return None
    return Sample(np.mean([one.values for one in samples], axis=0), samples[0].items)


def of_cell(arm: str, made: Cell, *, kept: bool = False, oracle: bool = True) -> Row:
    """The figures of a cell, without seeds; what an oracle is wanted for is None where there is none."""
    return {
        "arm": arm,
        "value": made.value,
        "base": made.base,
        "oracle": made.oracle if oracle else None,
        "gap": asdict(made.gap) if oracle else None,
        "change": asdict(made.change),
        "tells": made.tells,
        "forgotten": None if isnan(made.forgotten) else made.forgotten,
        "state": _kept(made) if kept else ended(made.forgotten) if oracle else NO_ORACLE,
    }


def ended(share: float) -> str:
    """What the share of the way to the oracle says; NaN where base and oracle cannot be told apart.

    >>> [ended(share) for share in (1.0, 0.5, 0.0, float("nan"))]
    ['gone', 'partly', 'left', 'cannot tell']
    """
    if isnan(share):
        return CANNOT_TELL
    return GONE if share >= WHOLE else LEFT if share <= NOTHING else PARTLY


def _kept(made: Cell) -> str:
    return KEPT if made.base - made.value <= MOST_LOST else LOST


def absent(arm: str, state: str, why: str = "") -> Row:
    """A row without figures, and why: the state in words, where it does not say it itself."""
    return {"arm": arm, **dict.fromkeys(_FIGURES), "tells": False, "seeds": 0, "asked": 0, "state": state, "why": why}
