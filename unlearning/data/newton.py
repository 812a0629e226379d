"""Part of the rows by themselves: products restricted to them, and the minimum of a loss over them."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from recsys.candidates import IntArray
from unlearning.data.conjugate import Array, Product, conjugate_gradient
from unlearning.data.pairwise import PairwiseLoss

NEWTON_STEPS, NEWTON_SOLVE, HALVINGS = 30, 30, 30
"""Most steps of a minimisation, products in each, and halvings of one step."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A few of the nodes. Vectors over them have a place of their own for each: place p is node rows[p], not node p."""

    rows: IntArray
    """Distinct nodes."""
    nodes: int

    def narrow(self, full: Array) -> Array:
        """The rows of `full` [nodes, d] that belong to the slice, [rows, d]."""
        return full[self.rows]

    def widen(self, local: Array) -> Array:
        """`local` [rows, d] at its nodes and zero elsewhere, [nodes, d]."""
        full = np.zeros((self.nodes, *local.shape[1:]))
        full[self.rows] = local
        return full

    def restrict(self, product: Product) -> Product:
        """The principal block of a matrix that is given by its products."""
        return lambda local: self.narrow(product(self.widen(local)))


def minimise(
    loss: PairwiseLoss, theta: Array, rows: Slice, *, tolerance: float, steps: int = NEWTON_STEPS
) -> tuple[Array, float]:
    """Move `rows` until their gradient is `tolerance` of what it was; the new theta, and what it then is of it.

    At most `steps` Gauss-Newton steps by conjugate gradient, each halved until the loss falls.
    """
    point = loss.at(theta)
    first = last = float(np.linalg.norm(rows.narrow(point.gradient())))
    for _ in range(steps):
        if last <= tolerance * first:
            break
        down = -rows.narrow(point.gradient())
        block = rows.restrict(partial(point.product, exact=False))
        accuracy = min(0.1, last / first)
        move = conjugate_gradient(block, down, damping=0, tolerance=accuracy, iterations=NEWTON_SOLVE).x
        for halved in range(HALVINGS):
            tried = theta + rows.widen(move / 2**halved)
            there = loss.at(tried)
            if there.loss < point.loss:
                break
        else:
            break
        theta, point = tried, there
        last = float(np.linalg.norm(rows.narrow(point.gradient())))
    return theta, last / first if first else 0.0
