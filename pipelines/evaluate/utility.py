"""Quality for people: those who stay beside the oracle, and those who asked before, after and under the oracle."""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from pipelines.evaluate.answers import METRICS, POPULARITY, View
from pipelines.evaluate.bootstrap import Resampling
from pipelines.evaluate.cell import AFTER
from pipelines.evaluate.methods import ORACLE
from pipelines.evaluate.panel import LOST, SERVED, STAY, Panel, Slice, before
from recsys.metrics import Interval

HEADLINE = "ndcg@10"

ROUNDING = 1e-9

RERANKED = Slice(AFTER, View.RERANKED, STAY)


def of_those_who_stay(panel: Panel, method: str, part: Slice = SERVED) -> dict[str, Any]:
    """Mean and spread over seeds of every metric, and the headline beside the oracle's with paired intervals."""
    each = [part.of(cell) for cell in panel.of(method)]
    per_seed = np.array([[frame[metric].mean() for metric in METRICS] for frame in each], dtype=np.float64)
    told: dict[str, Any] = {
        "people": each[0].height,
        "cold": int((~each[0]["warm"]).sum()),
        "metrics": {
            metric: {"mean": float(column.mean()), "sd": _spread(column)}
            for metric, column in zip(METRICS, per_seed.T, strict=True)
        },
        "warm_" + HEADLINE: _mean(each, pl.col("warm")),
        "cold_" + HEADLINE: _mean(each, ~pl.col("warm")),
    }
    if panel.of(ORACLE):
        told |= _beside_oracle(panel, method, part)
    return told


def of_those_who_asked(panel: Panel, method: str) -> dict[str, Any]:
    """The same people before; after, as they are served; after, with their old history given back; and the oracle's.

    People who are forgotten whole have no history after, and are served popularity: `by_popularity` counts them.
    """
    told: dict[str, Any] = {}
    parts = {
        "before": before(LOST),
        "after": Slice(AFTER, View.SERVED, LOST),
        "returned": Slice(AFTER, View.RETURNED, LOST),
    }
    for name, part in parts.items():
        for who in dict.fromkeys((method, ORACLE)):
            frames = [frame for frame in (part.of(cell) for cell in panel.of(who)) if frame.height]
            if frames:
                key = name if who == method else f"oracle_{name}"
                told[key] = _mean(frames)
                told["people"] = frames[0].height
    after = [parts["after"].of(cell) for cell in panel.of(method)]
    told["by_popularity"] = int((after[0]["origin"] == POPULARITY).sum()) if after else 0
    return told


def spread_of_oracles(panel: Panel, part: Slice = SERVED) -> Interval | None:
    """Where the headline of one more oracle would lie, with probability .95, relative to the oracles' mean.

    At least `ROUNDING` wide: oracles of a deterministic backbone are equal.
    """
    means = np.array([part.of(cell)[HEADLINE].mean() for cell in panel.of(ORACLE)], dtype=np.float64)
    if len(means) < 2 or means.mean() <= 0:
        return None
    ratio = means / means.mean()
    half = float(student.ppf(0.975, len(means) - 1) * ratio.std(ddof=1) * np.sqrt(1 + 1 / len(means))) + ROUNDING
    return Interval(1.0, 1 - half, 1 + half)


def _beside_oracle(panel: Panel, method: str, part: Slice) -> dict[str, Any]:
    if method == ORACLE:
        return {}
    paired = panel.values(method, part, HEADLINE).join(panel.values(ORACLE, part, HEADLINE), on="row", how="inner")
    if not paired.height:
        return {}
    new, old = (paired[name].to_numpy() for name in (method, ORACLE))
    difference, ratio = Resampling(len(new), seed=0).compared(new, old)
    told = {"compared": len(new), "difference": asdict(difference), "ratio": asdict(ratio)}
    spread = spread_of_oracles(panel, part)
    return told if spread is None else {**told, "within_spread": spread.low <= ratio.mean <= spread.high}


def _mean(frames: list[pl.DataFrame], where: pl.Expr | None = None) -> float | None:
    chosen = [frame if where is None else frame.filter(where) for frame in frames]
    values = [frame[HEADLINE].mean() for frame in chosen if frame.height]
    return float(np.mean(np.array(values, dtype=np.float64))) if values else None


def _spread(values: NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None
