"""A symmetric matrix of which one triangle is stored, with cheap exact low-rank updates."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from db.errors import LetheError

Floats = NDArray[np.float64]

BLOCK = 32
"""Columns of rank-1 updates that wait before one matrix-matrix update writes them into the triangle."""


class Triangle:
    """S = lower triangle mirrored + U·diag(signs)·Uᵀ, float64, shape [n, n].

    Only the lower triangle of `_lower` is ever read or written; what lies above its diagonal is undefined, so
    nothing has to be mirrored after an update. `_waiting` holds U, at most `BLOCK` columns: an update of one
    column costs no pass over S, and every reader adds U's part.
    """

    def __init__(self, lower: Floats) -> None:
        if lower.ndim != 2 or lower.shape[0] != lower.shape[1] or lower.dtype != np.float64:
            raise ValueError(f"a square float64 matrix is needed, not {lower.dtype} {lower.shape}")
        self._lower: Floats = np.asfortranarray(lower)
        self._waiting: Floats = np.empty((len(lower), BLOCK), order="F")
        self._signs: list[float] = []

    def __len__(self) -> int:
        return len(self._lower)

    def times(self, rows: Floats) -> Floats:
        """rows · S, shape [k, n]."""
        if len(rows) == 1:
            product: Floats = blas.dsymv(1.0, self._lower, rows[0], lower=1)[None, :]
        else:
            product = blas.dsymm(1.0, self._lower, np.asfortranarray(rows), side=1, lower=1)
        if self._signs:
            columns = self._waiting[:, : len(self._signs)]
            product += (rows @ columns * self._signs) @ columns.T
        return product

    def diagonal(self) -> Floats:
        """The diagonal of S, shape [n]."""
        columns = self._waiting[:, : len(self._signs)]
        return np.diagonal(self._lower) + columns**2 @ np.asarray(self._signs, dtype=np.float64)

    def add(self, columns: Floats, sign: float) -> None:
        """S += sign · columns·columnsᵀ for `columns` [n, k], with sign +1 or -1."""
        width = columns.shape[1]
        if len(self._signs) + width > BLOCK:
            self.settle()
        if width > BLOCK:
            self._write(columns, sign)
            return
        place = len(self._signs)
        self._waiting[:, place : place + width] = columns
        self._signs += [sign] * width

    def settle(self) -> None:
        """Write the waiting columns into the triangle; S does not change."""
        signs = np.asarray(self._signs)
        columns = self._waiting[:, : len(signs)]
        for sign in np.unique(signs):
            self._write(columns[:, signs == sign], float(sign))
        self._signs = []
        self._waiting[:] = 0.0

    def packed(self) -> Floats:
        """The lower triangle column by column, shape [n(n+1)/2]: nothing of an earlier S is in it."""
        self.settle()
        values, info = lapack.dtrttp(self._lower, uplo="L")
        _check(info, "dtrttp")
        return np.asarray(values, dtype=np.float64)

    @classmethod
    def from_packed(cls, values: Floats) -> Self:
        """What `packed` gave, as a matrix again."""
        size = int((np.sqrt(8 * len(values) + 1) - 1) / 2)
        if size * (size + 1) // 2 != len(values):
            raise LetheError(f"{len(values)} values are not a packed triangle: train this backbone again")
        lower, info = lapack.dtpttr(size, values, uplo="L")
        _check(info, "dtpttr")
        return cls(lower)

    @classmethod
    def inverse_of(cls, lower: Floats) -> Self:
        """S = A⁻¹ for a positive definite A given by its lower triangle, which is overwritten (Cholesky)."""
        factor, info = lapack.dpotrf(lower, lower=1, clean=0, overwrite_a=1)
        _check(info, "dpotrf")
        inverse, info = lapack.dpotri(factor, lower=1, overwrite_c=1)
        _check(info, "dpotri")
        return cls(inverse)

    def dense(self) -> Floats:
        """S with both triangles, a copy."""
        self.settle()
        below: Floats = np.tril(self._lower)
        return below + np.tril(below, -1).T

    def _write(self, columns: Floats, sign: float) -> None:
        self._lower = blas.dsyrk(sign, columns, beta=1.0, c=self._lower, lower=1, overwrite_c=1)


def _check(info: int, routine: str) -> None:
    if info:
        raise LetheError(f"LAPACK {routine} stopped with code {info}: a larger regularisation is needed")
