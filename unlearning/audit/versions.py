"""Version difference: what somebody who holds the old and the new generation learns of who was forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

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
"""Forgotten people below which an AUC says nothing."""


class Attacker(Protocol):
    """Somebody who holds two generations and suspects people."""

    __name__: str

    def __call__(self, old: Backbone, new: Backbone, histories: Sequence[IntArray], /) -> Floats:
        """A suspicion for each history, shape [people], high where forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class Lineup:
    """The people an attacker suspects: full histories as they were before, and who was forgotten, bool [people]."""

    histories: list[IntArray]
    forgotten: Bools

    def __post_init__(self) -> None:
        gone, stayed = int(self.forgotten.sum()), int((~self.forgotten).sum())
        if len(self.histories) != len(self.forgotten) or not FEWEST <= gone <= stayed:
            raise LetheError(
                f"{gone} forgotten and {stayed} other people: the version audit needs {FEWEST} forgotten at least, "
                "and as many others at least"
            )


def lost_fit(old: Backbone, new: Backbone, histories: Sequence[IntArray]) -> Floats:
    """How much less the new generation would offer people their own items, each generation in units of its own.

    Both generations' fits are put to mean 0 and spread 1 over the people, who for the most part stayed: two trainings
    differ in scale, and a change that all people share says nothing of one. To exchange old and new changes the sign.
    """
    asked = questions(histories, seed=0)
    was, now = (_standard(own_fit(model, asked)) for model in (old, new))
    return was - now


def _standard(fit: Floats) -> Floats:
    spread = float(fit.std())
    return np.asarray((fit - fit.mean()) / (spread if spread > 0 else 1.0), dtype=np.float64)


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


@dataclass(frozen=True, slots=True)
class Generations:
    """Models of an audit. `audited` and `control` are (old generation, new generation).

    `oracles` never saw the forgotten, are at least 3 and differ by seed. `control` is a retraining with the old
    generation's seed, or an EASE downdate with nothing else changed: it must give the forgotten away.
    """

    audited: tuple[Backbone, Backbone]
    oracles: Sequence[Backbone]
    control: tuple[Backbone, Backbone]

    def __post_init__(self) -> None:
        enough(len(self.oracles))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attacker reaches, as AUC: on the audited pair, on the control, and between oracles."""

    attacker: str
    value: Interval
    control: Interval
    oracle: Interval
    """The mean over all pairs of oracles, in both orders, with the interval over pairs and people."""
    unavoidable: float
    """Mean AUC between the audited old generation and the oracles: the part that no way to forget can take away."""

    @property
    def limit(self) -> float:
        """The upper end of the interval between oracles, to a thousandth."""
        return round(self.oracle.high, 3)


def outcome(attacker: Attacker, lineup: Lineup, models: Generations, *, seed: int, draws: int = 1000) -> Outcome:
    """Rank the forgotten among the others by one attacker's suspicion. Intervals resample people."""
    pairs = [_evidence(attacker, lineup, pair) for pair in permutations(models.oracles, 2)]
    pooled = np.concatenate([drawn(pair, seed=seed, draws=draws)[0] for pair in pairs])
    old = [reached(_evidence(attacker, lineup, (models.audited[0], oracle)))[0] for oracle in models.oracles]
    value, control = (
        attack(_evidence(attacker, lineup, pair), seed=seed, draws=draws).auc
        for pair in (models.audited, models.control)
    )
    oracle = interval(float(np.mean([reached(pair)[0] for pair in pairs])), pooled)
    return Outcome(attacker.__name__, value, control, oracle, float(np.mean(old)))


def verdict(lineup: Lineup, models: Generations, *, seed: int, draws: int = 1000) -> Verdict:
    """The audit "versions": the AUC of the attacker who gets furthest over the limit, or nearest to it.

    Limit: what the attacker reaches between two oracles, from whom nothing can be learnt. Void where no attacker finds
    the control. Not passing does not say that forgetting was inexact: an old generation that remembers people gives
    them away beside any new one (the "unavoidable" part).
    """
    tried = [outcome(attacker, lineup, models, seed=seed, draws=draws) for attacker in ATTACKERS]
    worst = max(tried, key=lambda found: found.value.mean - found.limit)
    seen = max(tried, key=lambda found: found.control.low - found.limit)
    spans = f"value {_told(worst.value)}, between oracles {_told(worst.oracle)}, control {_told(seen.control)}"
    return Verdict(
        "versions",
        round(worst.value.mean, 3),
        worst.limit,
        control=seen.control.mean,
        control_found=seen.control.low > seen.limit,
        oracle=worst.oracle.mean,
        detail=f"{worst.attacker}: {spans} ({seen.attacker}), unavoidable {worst.unavoidable:.3f}; "
        f"{int(lineup.forgotten.sum())} forgotten among {len(lineup.histories)}; {_remark(models.audited[1])}",
    )


def _told(span: Interval) -> str:
    return f"{span.mean:.3f} [{span.low:.3f}, {span.high:.3f}]"


def _evidence(attacker: Attacker, lineup: Lineup, pair: tuple[Backbone, Backbone]) -> Evidence:
    suspicion = np.round(attacker(*pair, lineup.histories), 6)
    return Evidence(suspicion, lineup.forgotten, np.arange(len(suspicion)))


def _remark(new: Backbone) -> str:
    if new.name != "ease":
        return "what protects is that the old generation is destroyed"
    return (
        "EASE is deterministic, so its exact downdate necessarily shows the difference to whoever holds both "
        "generations: what protects is that the old one is destroyed"
    )
