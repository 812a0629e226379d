"""From kept scores to agreement: every list beside the one of the same request as it is served."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llm.fusion import fuse, order
from pipelines.evaluate.bootstrap import Resampling
from recsys.agreement import kendall_tau
from recsys.metrics import rbo

Floats = NDArray[np.float64]

LISTS = ("tau", "rbo", "first")
"""Kendall's tau-b over all candidates; rank-biased overlap of the lists; whether the first item is the same."""
WORDS = ("similarity",)
"""Cosine of answers' embeddings."""

ASKED = ["person", "request"]


def agreement(rows: pl.DataFrame, reference: pl.DataFrame, *, p: float) -> pl.DataFrame:
    """Rows of scores with `LISTS` against the reference rows of the same person and request; null where either is
    unusable. Ties keep the retrieval's order, in whatever order the candidates were shown.
    """
    served = reference.select(*ASKED, served="scores", able="usable")
    both = rows.join(served, on=ASKED, how="left", maintain_order="left")
    scores, beside = (np.array(both[name].to_list(), dtype=np.float32) for name in ("scores", "served"))
    lists, others = (np.array([order(one) for one in part]) for part in (scores, beside))
    found = {
        "tau": kendall_tau(scores, beside),
        "rbo": rbo(lists, others, p=p),
        "first": (lists[:, 0] == others[:, 0]).astype(np.float64),
    }
    able = pl.col("usable") & pl.col("able")
    told = both.with_columns(**{name: pl.Series(values).fill_nan(None) for name, values in found.items()})
    return told.with_columns(pl.when(able).then(pl.col(name)).alias(name) for name in LISTS).drop("served", "able")


def fused(rows: pl.DataFrame, backbone: pl.DataFrame, weight: float) -> pl.DataFrame:
    """Rows whose scores are those of the list that is served at a weight of the model, as `llm.fusion.fuse` has them.

    `backbone` holds the backbone's scores of every person's requests, in the retrieval's order as the model's are.
    """
    both = rows.join(backbone, on=ASKED, how="left", maintain_order="left")
    pairs = zip(both["backbone"].to_list(), both["scores"].to_list(), strict=True)
    made = [fuse(np.array(own), np.array(said), weight).astype(np.float32).tolist() for own, said in pairs]
    return rows.with_columns(pl.Series("scores", made, dtype=rows.schema["scores"]))


def by_person(rows: pl.DataFrame, measure: str, people: int) -> Floats:
    """Each person's mean over requests and instances, [people]; NaN for those of whom nothing is known."""
    means = rows.group_by("person").agg(pl.col(measure).mean())
    out = np.full(people, np.nan)
    out[means["person"].to_numpy()] = means[measure].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return out


def intervals(columns: Sequence[Floats], seed: int) -> list[dict[str, float] | None]:
    """Mean over people of each column [people] with its 95% interval; None where nothing is known of anybody.

    One resampling serves all columns of which the same people are known.
    """
    found: list[dict[str, float] | None] = [None] * len(columns)
    alike: dict[bytes, list[int]] = {}
    for place, values in enumerate(columns):
        alike.setdefault(np.isfinite(values).tobytes(), []).append(place)
    for places in alike.values():
        known = np.isfinite(columns[places[0]])
        if known.any():
            table = np.stack([columns[place][known] for place in places], axis=1)
            made = Resampling(int(known.sum()), seed=seed).intervals(table)
            for place, one in zip(places, made, strict=True):
                found[place] = asdict(one)
    return found


def share(part: Floats, whole: Floats, seed: int) -> dict[str, float] | None:
    """Ratio of the mean of `part` to that of `whole` over people, with its 95% interval; None where `whole` is 0."""
    known = np.isfinite(part) & np.isfinite(whole)
    if not known.any() or not whole[known].mean() > 0:
        return None
    return asdict(Resampling(int(known.sum()), seed=seed).compared(part[known], whole[known])[1])


def told(parts: Sequence[pl.DataFrame], measures: Sequence[str], people: int, seed: int) -> list[dict[str, Any]]:
    """Of each part: how many answers there are and could not be used, and every measure with its interval."""
    made = iter(intervals([by_person(rows, name, people) for rows in parts for name in measures], seed))
    return [
        {
            "answers": rows.height,
            "unusable": int((~rows["usable"]).sum()),
            **{name: next(made) for name in measures},
        }
        for rows in parts
    ]
