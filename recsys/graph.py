"""The user-item graph of LightGCN as a sparse matrix in CSR form, and the propagation along it with gradients."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

EPSILON = 1e-7
"""Added to every degree, as RecBole does, so that lonely nodes do not divide by zero."""


def normalised_adjacency(interactions: "sp.csr_matrix[np.float32]") -> Tensor:
    """D^-1/2 A D^-1/2 of the bipartite graph, CSR float32 [users + items, users + items] (He et al. 2020, eq. 8).

    `interactions` is 0/1, shape [users, items], each pair once. The result is symmetric, so it is its own transpose.
    """
    users, items = interactions.shape
    edges = interactions.tocoo()
    rows = np.concatenate([edges.row, edges.col + users])
    columns = np.concatenate([edges.col + users, edges.row])
    scale = np.power(np.bincount(rows, minlength=users + items) + EPSILON, -0.5)
    normal = sp.csr_matrix((scale[rows] * scale[columns], (rows, columns)), shape=(users + items, users + items))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(normal.indptr.astype(np.int32)),
            torch.from_numpy(normal.indices.astype(np.int32)),
            torch.from_numpy(normal.data.astype(np.float32)),
            size=normal.shape,
            check_invariants=True,
        )


class MeanPropagation(torch.autograd.Function):
    """(I + S + ... + S^n) @ start / (n + 1) for a symmetric S, by Horner's rule: n sparse products and no copies.

    The operator is symmetric, so the gradient is the same operator applied to the gradient; torch's own backward
    would build the transpose anew for every product. S itself gets no gradient.
    """

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, start: Tensor, layers: int) -> Tensor:
        """The mean of `start` and its images; S is CSR and constant."""
        ctx.adjacency, ctx.layers = adjacency, layers
        return _mean(adjacency, start, layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        """The gradient of the start."""
        return None, _mean(ctx.adjacency, gradients[0], ctx.layers), None


def _mean(adjacency: Tensor, start: Tensor, layers: int) -> Tensor:
    total = start.clone()
    for _ in range(layers):
        total = torch.addmm(start, adjacency, total)
    return total.div_(layers + 1)


def mean_propagation(adjacency: Tensor, start: Tensor, layers: int) -> Tensor:
    """The mean of `start` and its images after 1 to `layers` steps along a symmetric CSR adjacency; shape of `start`.

    Gradients reach `start` (He et al. 2020, eq. 8 with equal layer weights).
    """
    mean: Tensor = MeanPropagation.apply(adjacency, start, layers)  # type: ignore[no-untyped-call]
    return mean
