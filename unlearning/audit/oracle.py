"""Distance to the oracle: are the lists as near to those of a model that never saw the rows as another such model's?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Verdict
from recsys.candidates import Backbone, FloatArray, IntArray
from recsys.matrix import log_matrix
from recsys.metrics import jaccard, pad, rbo
from recsys.topk import CHUNK
from unlearning.audit.evidence import distance_limit, enough
from unlearning.data.retrain import Fit

Floats = NDArray[np.float64]

Score = Callable[[Sequence[IntArray]], FloatArray]
"""Scores [people, items] of histories: a backbone's method `scores`."""

DEPTH = 50
"""Places of a list that are compared; at p = .9 all that lies beyond weighs .5% of a rank-biased overlap."""


def lists_of(
    backbone: Backbone, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int = DEPTH
) -> IntArray:
    """The k items that a backbone offers each person, as a matrix [people, k]."""
    return pad([found.rows for found in backbone.candidates(histories, exclude, k)], k)


def distances(a: IntArray, b: IntArray) -> dict[str, Floats]:
    """How far two models' lists [people, k] are apart, each from 0 (equal) to 1 (disjoint), per person.

    "rbo": 1 - rank-biased overlap, p = .9, extrapolated from the depth of the lists (Webber, Moffat and Zobel 2010,
    eq. 32). "jaccard@10": 1 - items in both first tens over items in either.
    """
    return {"rbo": 1 - rbo(a, b, p=0.9), "jaccard@10": 1 - jaccard(a, b, 10)}


def verdicts(who: str, audited: IntArray, oracles: Sequence[IntArray], control: IntArray) -> list[Verdict]:
    """The audits "oracle-rbo" and "oracle-jaccard@10" of the people named `who`; all lists are [people, k].

    Value: mean distance of the audited model to the oracles. Oracle's value: their mean distance to each other. Limit:
    what one more oracle would stay under (`distance_limit`). Control: the model that forgot nothing; void where it is
    as near as an oracle, so that nothing could be told.
    """
    n = enough(len(oracles))
    between = {pair: _mean_distances(oracles[pair[0]], oracles[pair[1]]) for pair in combinations(range(n), 2)}
    value, planted = _to_all(audited, oracles), _to_all(control, oracles)
    return [
        _verdict(f"oracle-{metric} {who}", (value[metric], planted[metric]), _matrix(n, metric, between), audited)
        for metric in value
    ]


def _verdict(name: str, measured: tuple[float, float], between: Floats, audited: IntArray) -> Verdict:
    value, control = measured
    n, limit = len(between), distance_limit(between)
    return Verdict(
        name,
        value,
        limit,
        control=control,
        control_found=control > limit,
        oracle=float(between.sum() / (n * (n - 1))),
        detail=f"mean distance over {len(audited)} people to {n} oracles; control: the model that forgot nothing",
    )


def _to_all(lists: IntArray, oracles: Sequence[IntArray]) -> dict[str, float]:
    each = [_mean_distances(lists, oracle) for oracle in oracles]
    return {metric: float(np.mean([one[metric] for one in each])) for metric in each[0]}


def _mean_distances(a: IntArray, b: IntArray) -> dict[str, float]:
    return {metric: float(values.mean()) for metric, values in distances(a, b).items()}


def _matrix(n: int, metric: str, between: dict[tuple[int, int], dict[str, float]]) -> Floats:
    out = np.zeros((n, n))
    for (i, j), distance in between.items():
        out[i, j] = out[j, i] = distance[metric]
    return out


def largest_difference(a: Score, b: Score, histories: Sequence[IntArray]) -> float:
    """max |ΔS| over all items and the given histories, which are scored in parts."""
    most = 0.0
    for start in range(0, len(histories), CHUNK):
        part = histories[start : start + CHUNK]
        most = max(most, float(np.abs(a(part).astype(np.float64) - b(part)).max(initial=0.0)))
    return most


def score_verdict(audited: Score, oracles: Sequence[Score], control: Score, histories: Sequence[IntArray]) -> Verdict:
    """The audit "oracle-scores" of an exact method: max |ΔS| to the first oracle, in units of the scores.

    The oracles are at least 3 computations of one model that differ in rounding alone (`in_other_order`). Limit: twice
    their largest difference, since a fit that is updated rounds twice, or one step of float32 at the largest score,
    where that is more. Control: the model that forgot nothing.
    """
    enough(len(oracles))
    apart = max(largest_difference(a, b, histories) for a, b in combinations(oracles, 2))
    largest = largest_difference(oracles[0], lambda part: np.zeros((len(part), 1), dtype=np.float32), histories)
    limit = max(2 * apart, float(np.spacing(np.float32(largest))))
    value, planted = (largest_difference(model, oracles[0], histories) for model in (audited, control))
    return Verdict(
        "oracle-scores",
        value,
        limit,
        control=planted,
        control_found=planted > limit,
        oracle=apart,
        detail=f"max |ΔS| over {len(histories)} histories; control: the model that forgot nothing",
    )


def in_other_order(fit: Fit, log: InteractionLog, seed: int) -> Score:
    """The scores of a fit on `log` with its items in another order, given in the order of `log`.

    For a deterministic closed form such as EASE, all that differs from a fit on `log` is rounding.
    """
    order = np.random.default_rng(seed).permutation(len(log.items))
    place = np.argsort(order)
    model = fit(replace(log, items=tuple(log.items[row] for row in order), item=place[log.item]), seed)
    return lambda histories: model.scores([place[history] for history in histories])[:, place]


def neighbours(log: InteractionLog, forgotten: IntArray, count: int) -> IntArray:
    """The `count` other people [user rows] whose items are most like the forgotten people's (summed cosine)."""
    x = log_matrix(log)
    length = np.sqrt(np.asarray(x.sum(axis=1)).ravel())
    unit = 1 / np.maximum(length, 1.0)
    theirs = x.T @ np.where(np.isin(np.arange(len(unit)), forgotten), unit, 0.0)
    likeness = np.asarray(unit * (x @ theirs), dtype=np.float64)
    others = _others(log, forgotten, count)
    return others[np.argsort(-likeness[others], kind="stable")[:count]]


def strangers(log: InteractionLog, forgotten: IntArray, count: int, *, seed: int) -> IntArray:
    """`count` other people [user rows] by lot."""
    return np.random.default_rng(seed).choice(_others(log, forgotten, count), size=count, replace=False)


def _others(log: InteractionLog, forgotten: IntArray, count: int) -> IntArray:
    others = np.setdiff1d(log.user, forgotten)
    if not 1 <= count <= len(others):
        raise LetheError(f"{count} other people were asked for: there are {len(others)}")
    return others
