"""How well scores tell two kinds apart, with intervals over people, and limits taken from models that are alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from recsys.metrics import Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FPR = 0.01
"""The false-positive rate at which the true-positive rate is read."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An attacker's scores [n], high where a positive is suspected, with the truth [n] and whose they are [n].

    Rows of one owner are drawn together by the bootstrap. Raises ValueError unless both kinds are there.
    """

    score: Floats
    positive: Bools
    owner: Ints

    def __post_init__(self) -> None:
        if not self.score.shape == self.positive.shape == self.owner.shape or self.score.ndim != 1:
            raise ValueError(f"score, positive and owner differ: {self.score.shape}, {self.positive.shape}")
        if not np.isfinite(self.score).all():
            raise ValueError("an attacker's score is not finite")
        if self.positive.all() or not self.positive.any():
            raise ValueError("evidence needs positives and negatives")


@dataclass(frozen=True, slots=True)
class Attack:
    """What an attacker reaches: AUC (ties count half) and TPR at `FPR` (a tie at the threshold counts as not found)."""

    auc: Interval
    tpr: Interval


def attack(evidence: Evidence, *, seed: int, draws: int = 1000, level: float = 0.95) -> Attack:
    """AUC and TPR@1%FPR with percentile intervals of `draws` resamplings of owners."""
    (auc, tpr), (aucs, tprs) = reached(evidence), drawn(evidence, seed=seed, draws=draws)
    return Attack(interval(auc, aucs, level), interval(tpr, tprs, level))


def reached(evidence: Evidence) -> tuple[float, float]:
    """AUC and TPR of the evidence as it is."""
    return _Curve(evidence).at(np.ones(int(evidence.owner.max()) + 1))


def drawn(evidence: Evidence, *, seed: int, draws: int) -> tuple[Floats, Floats]:
    """AUC and TPR of each resampling of owners, arrays [draws]; owners with positives and those without apart."""
    rng, curve = np.random.default_rng(seed), _Curve(evidence)
    having = np.unique(evidence.owner[evidence.positive])
    strata = (having, np.setdiff1d(evidence.owner, having))
    owners = int(evidence.owner.max()) + 1
    values = np.empty((draws, 2))
    for row in values:
        chosen = [rng.choice(stratum, size=len(stratum)) for stratum in strata if len(stratum)]
        row[:] = curve.at(np.bincount(np.concatenate(chosen), minlength=owners).astype(np.float64))
    return values[:, 0], values[:, 1]


def interval(value: float, draws: Floats, level: float = 0.95) -> Interval:
    """The value with the percentile interval of `draws`."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


class _Curve:
    """The ROC curve of evidence, sorted once, for any weights of the owners."""

    def __init__(self, evidence: Evidence) -> None:
        order = np.argsort(-evidence.score, kind="stable")
        self._positive = evidence.positive[order]
        self._owner = evidence.owner[order]
        score = evidence.score[order]
        self._ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)

    def at(self, weight: Floats) -> tuple[float, float]:
        """AUC and TPR at `FPR`, where the rows of each owner count `weight` [owners] times."""
        rows = weight[self._owner]
        true = np.cumsum(rows * self._positive)[self._ends]
        false = np.cumsum(rows)[self._ends] - true
        steps, heights = np.diff(false, prepend=0.0), (true + np.append(0.0, true[:-1])) / 2
        within = np.searchsorted(false, FPR * false[-1] * (1 + 1e-12), side="right")
        found = true[within - 1] if within else 0.0
        return float(steps @ heights / (false[-1] * true[-1])), float(found / true[-1])


def distance_limit(distances: Floats, *, level: float = 0.975) -> float:
    """What the mean distance of one more model to n models of its kind stays under, with probability `level`.

    `distances` [n, n] is symmetric, between models that differ by seed alone, n >= 3. Each model's mean distance to the
    others, m_j with spread s, gives the prediction limit mean(m) + t(level, n-1)·s·(n-1)/(n-2)·√(1+1/n). The factor
    (n-1)/(n-2) undoes that the m_j share each other's distances: it is exact where a distance is the sum of two
    normal terms, one of each model, and errs on the wide side where distances are independent.
    """
    n = enough(len(distances))
    means = distances.sum(axis=1) / (n - 1)
    spread = float(means.std(ddof=1)) * (n - 1) / (n - 2)
    return float(means.mean() + student.ppf(level, n - 1) * spread * np.sqrt(1 + 1 / n))


def enough(oracles: int) -> int:
    """The number given, where it is at least 3; a limit from fewer seeds would be a guess."""
    if oracles < 3:
        raise ValueError(f"{oracles} oracles give no spread: train at least 3, with different seeds")
    return oracles
