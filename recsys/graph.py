"""The user-item graph of LightGCN as a sparse matrix in CSR form, and its product with gradients."""

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


class SparseProduct(torch.autograd.Function):
    """matrix @ dense, whose gradient is transpose @ gradient.

    torch's own backward builds the transpose anew for every product; here it is kept, so that a step costs
    two CSR products and no conversion. The matrix itself gets no gradient.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, dense: Tensor) -> Tensor:
        """The product; both matrices are CSR and constant."""
        ctx.transpose = transpose
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        """The gradient of the dense operand."""
        return None, None, ctx.transpose @ gradients[0]


def propagate(adjacency: Tensor, start: Tensor, layers: int) -> list[Tensor]:
    """`start` and its images after 1 to `layers` steps along a symmetric adjacency; gradients reach `start`."""
    steps = [start]
    for _ in range(layers):
        product: Tensor = SparseProduct.apply(adjacency, adjacency, steps[-1])  # type: ignore[no-untyped-call]
        steps.append(product)
    return steps
