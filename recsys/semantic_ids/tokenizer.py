"""What gives items their codes: vectors as they are compared, and the codebooks they are compared with."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.candidates import IntArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tokenizer:
    """Residual quantisation as it was fitted: everything by which each code can be found again, in float64.

    `latents` [items, d] are the vectors that are quantised (normalised text vectors, or what an encoder made of them);
    `codebooks` [levels, codes, d]. The code of a level is the nearest row of its codebook (of equal ones the
    first), and the residual of the next level is what that row leaves.
    """

    latents: Floats
    codebooks: Floats
    mean: Floats
    """Of the text vectors, taken off before anything else."""
    scale: float
    """By which the centred text vectors are divided."""

    def __post_init__(self) -> None:
        if self.latents.dtype != np.float64 or self.codebooks.dtype != np.float64:
            raise ValueError("codes are compared in float64: give latents and codebooks in it")
        if self.codebooks.ndim != 3 or self.codebooks.shape[2] != self.latents.shape[1]:
            raise ValueError(f"codebooks {self.codebooks.shape} do not fit latents {self.latents.shape}")

    @cached_property
    def residuals(self) -> Floats:
        """What each level quantises, [levels, items, d]."""
        return self._walk[0]

    @cached_property
    def codes(self) -> IntArray:
        """The code of every item at every level, int64 [items, levels]."""
        return self._walk[1]

    def distances(self, rows: IntArray) -> Floats:
        """Squared distances of items' residuals to every code, [levels, rows, codes]."""
        pairs = zip(self.residuals[:, rows], self.codebooks, strict=True)
        return np.stack([squared_distances(residual, book) for residual, book in pairs])

    @cached_property
    def _walk(self) -> tuple[Floats, IntArray]:
        left, residuals, codes = self.latents, [], []
        for book in self.codebooks:
            nearest = squared_distances(left, book).argmin(axis=1)
            residuals.append(left)
            codes.append(nearest)
            left = left - book[nearest]
        return np.stack(residuals), np.stack(codes, axis=1).astype(np.int64)


def squared_distances(points: Floats, book: Floats) -> Floats:
    """‖p − c‖² for every point [n, d] and row [codes, d], as sums of squares: two equal rows give equal distances."""
    return np.stack([np.square(points - row).sum(axis=1) for row in book], axis=1)


def normalised(vectors: NDArray[np.floating]) -> tuple[Floats, Floats, float]:
    """Text vectors in float64 minus their mean, over the root of their mean squared length; with mean and scale."""
    exact = np.asarray(vectors, dtype=np.float64)
    mean = exact.mean(axis=0)
    centred = exact - mean
    scale = float(np.sqrt(np.square(centred).sum(axis=1).mean())) or 1.0
    return centred / scale, mean, scale
