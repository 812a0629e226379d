"""How far two orders of the same things agree."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def kendall_tau(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Kendall's tau-b of each row of two score matrices [lists, items]: 1 for the same order, -1 for its reverse.

    (concordant - discordant pairs) / sqrt(pairs untied in a x pairs untied in b), after Kendall (1945). NaN where all
    scores of a list are equal: such a list says no order.

    >>> kendall_tau(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 1.0, 2.0]])).round(3).tolist()
    [0.333]
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"score matrices differ in shape: {a.shape} and {b.shape}")
    first, second = _signs(a), _signs(b)
    untied = (first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2))
    agreed = (first * second).sum(axis=(1, 2))
    return np.where(untied > 0, agreed / np.sqrt(np.maximum(untied, 1)), np.nan)


def _signs(scores: NDArray[np.floating]) -> Floats:
    """1 where the row's thing stands above the column's, -1 below, 0 beside it; [lists, items, items]."""
    signs: Floats = np.sign(scores[:, :, None].astype(np.float64) - scores[:, None, :])
    return signs
