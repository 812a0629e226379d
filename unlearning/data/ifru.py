"""IFRU (Zhang et al. 2023): influence with the spillover along the graph, on the rows that it reaches most."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from recsys.candidates import IntArray
from unlearning.data.conjugate import Array
from unlearning.data.influence import Case, Change, InfluenceSettings, InfluenceUnlearner, Scheme, of_recbole
from unlearning.data.newton import Slice
from unlearning.data.pairwise import Propagation

if TYPE_CHECKING:
    from recsys.recbole_models import TrainSettings

SHARES = (1.0, 0.5, 0.1)
"""Shares of the nodes 0, 1 and 2 steps away that are moved."""


def ifru(
    training: "TrainSettings",
    settings: InfluenceSettings | None = None,
    *,
    shares: tuple[float, ...] = SHARES,
    device: str = "cpu",
) -> InfluenceUnlearner:
    """Influence function for recommendation unlearning over RecBole's BPR or LightGCN."""
    return of_recbole("ifru", training, spilling(shares), settings, device)


def spilling(shares: tuple[float, ...] = SHARES) -> Scheme:
    """Move what the forgotten pairs reach along the graph, the most important nodes of each order.

    The force is the whole change of the gradient: of the pairs that go and are negatives from now on, and of those that
    stay but whose vectors come from another graph now (spillover). Of the nodes k steps from a forgotten pair the share
    `shares[k]` moves; those further away keep their rows.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise LetheError(f"shares {shares} cannot be kept: give one above 0 and up to 1 for each step along the graph")

    def _scheme(case: Case) -> Change:
        rows = important(case, shares)
        was, now = case.loss(case.triples, case.old), case.loss(case.remaining(), case.new)
        return Change(was, now, Slice(rows, case.nodes), {"pruned_rows": case.nodes - len(rows)})

    return _scheme


def important(case: Case, shares: tuple[float, ...]) -> IntArray:
    """The nodes that are moved, ascending.

    Importance starts with the number of forgotten pairs at each node and goes one step along the normalised graph of
    `before` for each order of neighbours; a node has the order at which it is first reached, and equal importance is
    ranked by row.
    """
    graph = Propagation(case.before, 1).adjacency
    weight: Array = np.bincount(case.endpoints(), minlength=case.nodes).astype(np.float64)
    reached: NDArray[np.bool_] = np.zeros(case.nodes, dtype=np.bool_)
    chosen = []
    for share in shares:
        ring = np.flatnonzero((weight > 0) & ~reached)
        ranked = ring[np.argsort(-weight[ring], kind="stable")]
        chosen.append(ranked[: math.ceil(share * len(ring))])
        reached[ring] = True
        weight = np.asarray(graph @ weight)
    return np.sort(np.concatenate(chosen))
