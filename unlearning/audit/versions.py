"""Version difference: what somebody who holds the old and the new generation learns of who was forgotten."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.records import Verdict
from recsys.candidates import Backbone, IntArray, VectorBackbone
from recsys.metrics import Interval
from unlearning.audit.evidence import Evidence, attack, drawn, enough, interval, reached
from unlearning.audit.questions import Questions, logits, questions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEWEST = 5
"""People of each kind below which an AUC says nothing."""

Attacker = Callable[[Backbone, Backbone, Sequence[IntArray]], Floats]
"""Old generation, new generation and histories give a suspicion for each person, high where forgotten."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The people an attacker suspects: full histories as they were before, and who was forgotten, bool [people]."""

    histories: list[IntArray]
    forgotten: Bools

    def __post_init__(self) -> None:
        people = (int(self.forgotten.sum()), int((~self.forgotten).sum()))
        if len(self.histories) != len(self.forgotten) or min(people) < FEWEST:
            raise LetheError(
                f"{people[0]} forgotten and {people[1]} other people: the version audit needs {FEWEST} of each"
            )


def lost_fit(old: Backbone, new: Backbone, histories: Sequence[IntArray]) -> Floats:
    """How much less the new generation would offer people their own items than the old one leads to expect, in logits.

    What is expected is the line of least squares through the people: two trainings differ in scale, and a change that
    all people share says nothing of one.
    """
    asked = questions(histories, seed=0)
    was, now = (own_fit(model, asked) for model in (old, new))
    was, now = was - was.mean(), now - now.mean()
    slope = float(was @ now / (was @ was)) if was.any() else 0.0
    return np.asarray(slope * was - now, dtype=np.float64)


def own_fit(model: Backbone, asked: Questions) -> Floats:
    """The mean logit of each person's own items."""
    return np.bincount(asked.owner, weights=logits(model, asked)) / np.bincount(asked.owner)


def moved_items(old: Backbone, new: Backbone, histories: Sequence[IntArray]) -> Floats:
    """How far people's items moved in the table, mean over each history, once the tables are rotated onto each other.

    A rotation changes no score, and trainings with other seeds differ by one (orthogonal Procrustes). Zeros for
    backbones without item vectors of one dimension.
    """
    if not (isinstance(old, VectorBackbone) and isinstance(new, VectorBackbone)):
        return np.zeros(len(histories))
    a, b = old.item_vectors.astype(np.float64), new.item_vectors.astype(np.float64)
    if a.shape != b.shape:
        return np.zeros(len(histories))
    left, _, right = np.linalg.svd(a.T @ b)
    moved = np.linalg.norm(a @ (left @ right) - b, axis=1)
    return np.array([moved[np.unique(history)].mean() for history in histories])


ATTACKERS: tuple[Attacker, ...] = (lost_fit, moved_items)


def verdict(
    lineup: Lineup,
    audited: tuple[Backbone, Backbone],
    oracles: Sequence[Backbone],
    control: tuple[Backbone, Backbone],
    *,
    seed: int,
    draws: int = 1000,
) -> Verdict:
    """The audit "versions": the AUC with which the better of `ATTACKERS` ranks the forgotten among the others.

    `audited` and `control` are (old generation, new generation). Limit: the upper end of the AUC's interval, over seeds
    and people, where old and new are both oracles, in both orders, and so nothing can be learnt. Control: a retraining
    with the old generation's seed, or an EASE downdate with nothing else changed; void where it is not above the limit.
    """
    enough(len(oracles))
    limit, oracle = max((_between_oracles(one, lineup, oracles, seed, draws) for one in ATTACKERS), key=lambda x: x[0])
    value, planted = (_best(lineup, pair, seed, draws) for pair in (audited, control))
    found = planted.low > limit
    told = ", ".join(
        f"{what} {i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]" for what, i in (("value", value), ("control", planted))
    )
    return Verdict(
        "versions",
        round(value.mean, 3),
        limit,
        control=planted.mean,
        control_found=found,
        oracle=oracle,
        detail=f"{told}; {int(lineup.forgotten.sum())} forgotten among {len(lineup.histories)}{_remark(audited[1])}",
    )


def _best(lineup: Lineup, pair: tuple[Backbone, Backbone], seed: int, draws: int) -> Interval:
    reached = [attack(_evidence(one, lineup, *pair), seed=seed, draws=draws).auc for one in ATTACKERS]
    return max(reached, key=lambda found: found.mean)


def _between_oracles(
    one: Attacker, lineup: Lineup, oracles: Sequence[Backbone], seed: int, draws: int
) -> tuple[float, float]:
    pairs = [_evidence(one, lineup, old, new) for old, new in permutations(oracles, 2)]
    mean = float(np.mean([reached(pair)[0] for pair in pairs]))
    pooled = np.concatenate([drawn(pair, seed=seed, draws=draws)[0] for pair in pairs])
    return round(interval(mean, pooled).high, 3), mean


def _evidence(one: Attacker, lineup: Lineup, old: Backbone, new: Backbone) -> Evidence:
    suspicion = np.round(one(old, new, lineup.histories), 6)
    return Evidence(suspicion, lineup.forgotten, np.arange(len(suspicion)))


def _remark(new: Backbone) -> str:
    if new.name != "ease":
        return "; whoever must not learn the difference must not hold the old generation"
    return (
        "; EASE is deterministic, so its exact downdate necessarily shows the difference to whoever holds both "
        "generations: what protects is that the old one is destroyed"
    )
