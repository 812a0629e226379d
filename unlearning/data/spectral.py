"""Vectors of people and items from the interaction graph alone, which partitions are clustered in."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from db.log import InteractionLog
from recsys.matrix import log_matrix

STEPS = 12
"""Of subspace iteration: enough for clusters, which need no digits."""

Floats = NDArray[np.float64]


def spectral_vectors(log: InteractionLog, dimension: int, *, seed: int) -> tuple[Floats, Floats]:
    """The leading singular vectors of D^-1/2 A D^-1/2, scaled by their values: float64 [users, r] and [items, r].

    r is `dimension` or what the matrix allows. People and items without a row are 0. Found by subspace iteration from a
    random start; equal arguments give equal vectors on one machine and thread count.
    """
    x = log_matrix(log)
    scaled = sp.diags_array(_inverse_root(x.sum(axis=1))) @ x @ sp.diags_array(_inverse_root(x.sum(axis=0)))
    width = max(1, min(dimension, *x.shape))
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1], width)))[0]
    for _ in range(STEPS):
        basis = np.linalg.qr(scaled.T @ (scaled @ basis))[0]
    left, values, right = np.linalg.svd(scaled @ basis, full_matrices=False)
    return left * np.sqrt(values), (basis @ right.T) * np.sqrt(values)


def _inverse_root(degrees: NDArray[np.float64]) -> Floats:
    flat = np.asarray(degrees, dtype=np.float64).ravel()
    root: Floats = np.where(flat > 0, 1.0 / np.sqrt(np.maximum(flat, 1.0)), 0.0)
    return root
