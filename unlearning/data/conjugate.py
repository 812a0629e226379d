"""Conjugate gradient for a matrix that is known by its products alone (Hestenes and Stiefel 1952)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError

Array = NDArray[np.float64]
Product = Callable[[Array], Array]
"""A symmetric matrix times a vector; the vector may have any shape, which the result shares."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Where the iteration stopped."""

    x: Array
    iterations: int
    residual: float
    """Length of b − Ax over that of b."""
    converged: bool
    """Whether the residual is within the tolerance."""

    def demand_progress(self, remedy: str) -> None:
        """Raise LetheError when the residual did not fall: then x is worth no more than zero."""
        if not self.residual < 1:
            raise LetheError(f"conjugate gradient left {self.residual:.3g} of its right side unsolved: {remedy}")


def conjugate_gradient(
    product: Product, right: Array, *, damping: float, tolerance: float, iterations: int
) -> Solution:
    """Solve (A + damping·I) x = right from x = 0.

    Stops within `tolerance`, after `iterations`, or at a direction along which A + damping·I does not curve upwards;
    the last two are not converged, which the solution says. A right side of zeros is solved by zeros.
    """
    x, rest = np.zeros_like(right), right.copy()
    way, length = rest, float(np.vdot(rest, rest))
    start, done = length, 0
    while done < iterations and length > tolerance**2 * start:
        image = product(way) + damping * way
        curve = float(np.vdot(way, image))
        if not curve > 0:
            break
        x = x + length / curve * way
        rest = rest - length / curve * image
        before, length = length, float(np.vdot(rest, rest))
        way = rest + length / before * way
        done += 1
    residual = float(np.sqrt(length / start)) if start else 0.0
    return Solution(x, done, residual, length <= tolerance**2 * start)
