"""Downdate: EASE without the rows, exactly, from P alone (METHODS §2): P += PXᵀ(I − XPXᵀ)⁻¹XP, one rank-k update."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.candidates import IntArray
from recsys.ease import Ease


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
