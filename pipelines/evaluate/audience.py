"""Whose lists are looked at: people who stay, who asked, who are like those who asked, and others at random."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from db.log import InteractionLog
from pipelines.evaluate.protocols import Forgetting
from recsys.matrix import log_matrix

MOST = 200
"""People looked at as neighbours, and as many at random."""

SHARE = 0.1
"""Of the people who stay; never fewer than ten."""


class Group(StrEnum):
    """What a protocol did to a person."""

    REMAINING = "remaining"
    TOUCHED = "touched"
    """Some training rows are forgotten, the person stays."""
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Audience:
    """For every user row: the group, the two samples, and the number of training rows before."""

    group: NDArray[np.str_]
    neighbour: NDArray[np.bool_]
    random: NDArray[np.bool_]
    activity: NDArray[np.int64]


def audience(training: InteractionLog, forgetting: Forgetting, forgotten: InteractionLog, *, seed: int) -> Audience:
    """`training` are the training rows before, `forgotten` those of them that are forgotten.

    A neighbour's history has a high cosine with the histories of those who forget, each weighted by the share that is
    forgotten; the person's own is left out. Neighbours stay themselves, and the random people are none of them.
    """
    x = log_matrix(training)
    activity = np.asarray(x.sum(axis=1)).ravel().astype(np.int64)
    group = np.full(len(training.users), Group.REMAINING.value, dtype="<U9")
    group[forgetting.touched] = Group.TOUCHED.value
    group[forgetting.people] = Group.FORGOTTEN.value
    stays = np.flatnonzero((group != Group.FORGOTTEN.value) & (activity > 0))
    size = min(MOST, max(10, round(SHARE * len(stays))), len(stays) // 2)
    near = stays[np.argsort(-_affinity(x, activity, forgotten)[stays], kind="stable")[:size]]
    others = np.setdiff1d(stays, near)
    drawn = np.random.default_rng(seed).choice(others, size=size, replace=False)
    everybody = np.arange(len(group))
    return Audience(group, np.isin(everybody, near), np.isin(everybody, drawn), activity)


def _affinity(
    x: "sp.csr_matrix[np.float64]", activity: NDArray[np.int64], forgotten: InteractionLog
) -> NDArray[np.float64]:
    unit = sp.diags_array(1 / np.sqrt(np.maximum(activity, 1))) @ x
    lost = np.bincount(forgotten.user, minlength=len(activity)) / np.maximum(activity, 1)
    near: NDArray[np.float64] = np.asarray(unit @ (unit.T @ lost)) - lost * (activity > 0)
    return near
