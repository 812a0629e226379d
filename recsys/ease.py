"""EASE (Steck 2019, eq. 8) in closed form, kept as P = (XᵀX + λI)⁻¹ so that rows can be removed exactly."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.linalg import blas, solve_triangular

from db.errors import LetheError
from db.log import InteractionLog
from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.heldout import HeldOut, served
from recsys.ids import ItemRows
from recsys.matrix import history_matrix, log_matrix
from recsys.topk import CHUNK, candidates_from
from recsys.triangle import Triangle

FILE = "item.safetensors"

GUARD = 1e-6
"""Below this 1 - xᵀPx a removal would lose too many digits."""

MAX_UPDATES = 2000
"""Rows removed or added before a refit is due, whatever the guard says."""

LAMBDAS = (50.0, 100.0, 200.0, 400.0, 800.0)

Floats = NDArray[np.float64]


class RefitNeededError(LetheError):
    """A downdate would not be exact enough; nothing was changed, and the model has to be fitted again."""


@dataclass(frozen=True, slots=True)
class EaseSettings:
    """What EASE is fitted with."""

    regularisation: float = 200.0
    """λ: added to the diagonal of the Gram matrix."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.regularisation) and self.regularisation > 0):
            raise LetheError(f"EASE's regularisation is {self.regularisation}: it must be a number above 0")


class Ease:
    """A fitted EASE. The item weights B = I - P·diag(P)⁻¹ are never formed: scores read P.

    `remove`, `add` and `replace` change it in memory only; `save` writes the whole of it.
    """

    name = "ease"

    def __init__(self, items: tuple[ItemId, ...], p: Triangle, settings: EaseSettings, updates: int = 0) -> None:
        if len(items) != len(p):
            raise ValueError(f"{len(items)} items but P has {len(p)} rows")
        self.items = items
        self.updates = updates
        """Rows removed or added since the last fit."""
        self._p = p
        self._settings = settings

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed and data epoch."""
        return {"backbone": self.name, "regularisation": self._settings.regularisation, "updates": self.updates}

    def scores(self, histories: Sequence[IntArray]) -> FloatArray:
        """x·B for each history's 0/1 row x, shape [people, items]."""
        out = np.empty((len(histories), len(self.items)), dtype=np.float32)
        diagonal = self._p.diagonal()
        for start in range(0, len(histories), CHUNK):
            x = self._dense(histories[start : start + CHUNK])
            out[start : start + CHUNK] = x - self._p.times(x) / diagonal
        return out

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The k best items outside each `exclude`; an empty history yields an empty list."""
        return candidates_from(self.scores, histories, exclude, k)

    def remove(self, rows: Sequence[IntArray]) -> None:
        """Take the given people's whole rows out of X; one person is a rank-1 update, many are one rank-k update.

        P += PXᵀ(I - XPXᵀ)⁻¹XP. Raises `RefitNeededError`, with nothing changed, where that would lose digits.
        """
        self._change(rows, sign=1.0)

    def add(self, rows: Sequence[IntArray]) -> None:
        """Put new rows into X: P -= PXᵀ(I + XPXᵀ)⁻¹XP."""
        self._change(rows, sign=-1.0)

    def replace(self, old: Sequence[IntArray], new: Sequence[IntArray]) -> None:
        """Exchange people's rows, for those who forget some of their history; empty new rows count as removed."""
        self._within_budget(len(old) + len(new))
        self.remove(old)
        self.add([row for row in new if len(row)])

    def residual(self, log: InteractionLog, *, seed: int, columns: int = 4) -> float:
        """A spot check: max |(XᵀX + λI)·p - e| over random columns p of P, with X from `log`.

        About 1e-12 where P descends from exactly these rows; a person too many or too few shows.
        """
        chosen = np.random.default_rng(seed).choice(len(self.items), size=min(columns, len(self.items)), replace=False)
        unit = np.zeros((len(chosen), len(self.items)))
        unit[np.arange(len(chosen)), chosen] = 1.0
        p = self._p.times(unit)
        x = log_matrix(log)
        back = (x.T @ (x @ p.T)).T + self._settings.regularisation * p
        return float(np.abs(back - unit).max(initial=0.0))

    def inverse(self) -> Floats:
        """P as a full symmetric matrix, a copy of shape [items, items]."""
        return self._p.dense()

    def save(self, folder: Path) -> None:
        """Write P's triangle, λ and ids to an existing, empty folder."""
        facts = np.array([self._settings.regularisation, float(self.updates)])
        save_file({"p_lower": self._p.packed(), "regularisation_and_updates": facts}, folder / FILE)
        ItemRows(self.items).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        tensors = load_file(folder / FILE)
        regularisation, updates = tensors["regularisation_and_updates"].tolist()
        p = Triangle.from_packed(tensors["p_lower"])
        return cls(ItemRows.load(folder).ids, p, EaseSettings(regularisation), int(updates))

    def _change(self, rows: Sequence[IntArray], sign: float) -> None:
        if len(rows) == 0:
            return
        self._within_budget(len(rows))
        x = self._dense(rows)
        xp = self._p.times(x)
        inner = np.eye(len(rows)) - sign * (xp @ x.T)
        try:
            factor = np.linalg.cholesky(inner)
        except np.linalg.LinAlgError:
            raise RefitNeededError(f"removing {len(rows)} rows leaves EASE singular: fit it again") from None
        smallest = float((np.diagonal(factor) ** 2).min())
        if smallest < GUARD:
            raise RefitNeededError(f"1 - xᵀPx is {smallest:.1e}, under {GUARD:.0e}: fit EASE again")
        self._p.add(solve_triangular(factor, xp, lower=True).T, sign)
        self.updates += len(rows)

    def _within_budget(self, rows: int) -> None:
        if self.updates + rows > MAX_UPDATES:
            raise RefitNeededError(f"{self.updates} + {rows} rows changed since the fit, over {MAX_UPDATES}: fit again")

    def _dense(self, rows: Sequence[IntArray]) -> Floats:
        return np.asarray(history_matrix(rows, len(self.items)).toarray(), dtype=np.float64)


class EaseFitter:
    """Fits EASE; nothing in it is random."""

    def __init__(self, settings: EaseSettings | None = None, *, memory: int | None = None) -> None:
        self._settings = settings or EaseSettings()
        self._memory = available_memory() if memory is None else memory
        """Bytes that P and its Gram matrix may take."""

    def fit(self, log: InteractionLog) -> Ease:
        """Invert the Gram matrix of all rows in `log`; refused, with the figure, where P exceeds memory."""
        return self.fit_gram(log.items, gram(log, self._memory))

    def fit_gram(self, items: tuple[ItemId, ...], lower: Floats) -> Ease:
        """The same from the lower triangle of XᵀX, which is overwritten."""
        lower[np.diag_indices_from(lower)] += self._settings.regularisation
        return Ease(items, Triangle.inverse_of(lower), self._settings)


def gram(log: InteractionLog, memory: int) -> Floats:
    """The lower triangle of XᵀX, float64 [items, items] in Fortran order; refused where it exceeds `memory` bytes."""
    items = len(log.items)
    needed = 8 * items * items + 8 * CHUNK * items
    if needed > memory:
        raise LetheError(
            f"EASE over {items:,} items needs {needed / 1e9:,.1f} GB and {memory / 1e9:,.1f} GB are free: "
            "train with --backbone lightgcn"
        )
    x: sp.csr_matrix[np.float64] = log_matrix(log)
    total: Floats = np.zeros((items, items), order="F")
    for start in range(0, x.shape[0], CHUNK):
        rows = np.asfortranarray(x[start : start + CHUNK].toarray().T)
        total = blas.dsyrk(1.0, rows, beta=1.0, c=total, lower=1, overwrite_c=1)
    return total


def choose_lambda(
    fit_on: InteractionLog,
    held_out: HeldOut,
    grid: Sequence[float] = LAMBDAS,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[EaseSettings, dict[float, float]]:
    """The λ of the grid with the best NDCG@10 on validation people, and the value of each λ tried."""
    base = gram(fit_on, available_memory() // 2)
    tried: dict[float, float] = {}
    for done, value in enumerate(grid, start=1):
        model = EaseFitter(EaseSettings(value)).fit_gram(fit_on.items, base.copy(order="F"))
        tried[value] = float(served(model, held_out, 10).ndcg.mean())
        progress(done, len(grid))
    return EaseSettings(max(tried, key=lambda value: tried[value])), tried


def available_memory() -> int:
    """Bytes of memory that a new allocation can get, as the system tells it."""
    try:
        with Path("/proc/meminfo").open() as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
