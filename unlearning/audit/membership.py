"""Membership inference by likelihood ratio, on the same pairs under models that did and did not train on them.

Shadow models are trained with a random half of the canaries in (Carlini et al. 2022, "Membership inference attacks
from first principles": a Gaussian for each example, in and out). Each shadow then forgets its half, and an oracle is
trained without it. After forgetting, those who were in must not be told from those who never were, neither by what
gave members away before, nor by an attacker who has learnt from forgotten models themselves what forgetting leaves
behind (as Hayes et al. 2024 demand of audits of inexact unlearning).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Verdict
from recsys.candidates import Backbone
from recsys.metrics import Interval
from unlearning.audit.canaries import Canaries
from unlearning.audit.evidence import FPR, Attack, Evidence, attack
from unlearning.audit.questions import Questions, logits
from unlearning.data.retrain import Fit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Forget = Callable[[Backbone, InteractionLog, InteractionLog, int], Backbone]
"""Makes a model of the first log into one of the second, with a seed."""

STATES = ("before", "after", "oracle")
"""What `Trial.run` measures: trained on its half, after forgetting it, and trained without it."""

FEWEST = 16
"""Shadow trainings below which Gaussians say too little."""

STRONG = 0.8
"""AUC of the model that forgot nothing below which there is too little memory to audit."""

NOISE = 1e-3
"""A spread of logits, and evidence in nats, under which all is rounding."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The canaries, what is asked of them, and which groups each shadow has in: `present` [shadows, groups]."""

    canaries: Canaries
    asked: Questions
    present: Bools
    seed: int

    def run(self, shadow: int, fit: Fit, forget: Forget) -> Floats:
        """Train, forget and train the oracle of one shadow: logits [3, pairs] in the order of `STATES`.

        A function of its arguments, so that stored results of some shadows need not be made again. `forget` may change
        the model in place.
        """
        seeds = np.random.SeedSequence([self.seed, shadow]).generate_state(len(STATES)).tolist()
        here, gone = self.canaries.only(self.present[shadow]), self.canaries.only(np.zeros_like(self.present[shadow]))
        model = fit(here, seeds[0])
        before = logits(model, self.asked)
        after = logits(forget(model, here, gone, seeds[1]), self.asked)
        return np.stack([before, after, logits(fit(gone, seeds[2]), self.asked)])


def trial(canaries: Canaries, *, seed: int, shadows: int = FEWEST, most: int = 50) -> Trial:
    """A trial in which shadow 2k + 1 has in exactly the groups that shadow 2k leaves out.

    Raises LetheError unless the number of shadows is even and at least 16, and there are at least 2 groups.
    """
    if shadows < FEWEST or shadows % 2:
        raise LetheError(f"{shadows} shadow trainings: an even number of at least {FEWEST} is needed")
    if canaries.groups < 2:
        raise LetheError("one canary alone cannot be in and out by halves: take at least 2")
    rng, groups = np.random.default_rng(seed), canaries.groups
    halves = np.stack([rng.permutation(groups) < groups // 2 for _ in range(shadows // 2)])
    present = np.stack([halves, ~halves], axis=1).reshape(shadows, groups)
    return Trial(canaries, canaries.questions(seed=seed, most=most), present, seed)


def likelihood_ratios(target: Floats, evidence: Floats, member: Bools) -> Floats:
    """log P(target | in) - log P(target | out) for each shadow and pair, in nats, all arrays [shadows, pairs].

    For each pair two Gaussians with one spread are fitted to `evidence`, without the shadow in question and without its
    mirror image: were nothing remembered, a pair that is in and the same pair out would be exchangeable, so that the
    expected AUC is then exactly one half. Evidence under a thousandth of a nat is rounding and becomes 0.
    """
    if not target.shape == evidence.shape == member.shape or (member[::2] == member[1::2]).any():
        raise ValueError("target, evidence and member must be [shadows, pairs], with shadows 2k and 2k + 1 mirrored")
    ratios = np.empty_like(target)
    for first in range(0, len(target), 2):
        two = [first, first + 1]
        others, inside = np.delete(evidence, two, axis=0), np.delete(member, two, axis=0)
        mean_in, mean_out = others.mean(axis=0, where=inside), others.mean(axis=0, where=~inside)
        residual = others - np.where(inside, mean_in, mean_out)
        variance = (residual**2).sum(axis=0) / (len(others) - 2) + NOISE**2
        ratios[two] = (mean_in - mean_out) / variance * (target[two] - (mean_in + mean_out) / 2)
    return np.round(ratios / NOISE) * NOISE


@dataclass(frozen=True, slots=True)
class Membership:
    """How well members are told from non-members: before forgetting, after, and under the oracle."""

    before: Attack
    after: Attack
    oracle: Attack
    shadows: int
    pairs: int

    @property
    def too_weak(self) -> bool:
        """True when the model that forgot nothing remembers too little: then audit planted canaries."""
        return self.before.auc.mean < STRONG

    @property
    def oracle_leaks(self) -> bool:
        """True when the oracle itself gives people away, far beyond its interval: it was not trained without them."""
        auc = self.oracle.auc
        return auc.mean - 0.5 > 2 * (auc.mean - auc.low)

    def verdicts(self) -> list[Verdict]:
        """The audits "membership" (AUC) and "membership-tpr" (TPR at 1% FPR).

        The limit is what another oracle would reach: the upper half of the oracle's interval, √2 times as wide because
        both are estimates; or chance, where that is more. The control is the model that forgot nothing. Void where that
        model is too weak or is not above the limit, and where the oracle leaks. Value and limit are told to a
        thousandth, since the rounding of an exact update moves the digits after it.
        """
        return [
            self._verdict("membership", [self.after.auc, self.before.auc, self.oracle.auc], chance=0.5),
            self._verdict("membership-tpr", [self.after.tpr, self.before.tpr, self.oracle.tpr], chance=FPR),
        ]

    def _verdict(self, name: str, spans: Sequence[Interval], *, chance: float) -> Verdict:
        after, before, oracle = spans
        limit = round(max(oracle.mean + 2**0.5 * (oracle.high - oracle.mean), chance), 3)
        found = not (self.too_weak or self.oracle_leaks) and before.low > limit
        why = "memorisation too weak to audit: plant canaries; " if self.too_weak else ""
        why += "the oracle gives people away: it knows their rows; " if self.oracle_leaks else ""
        named = zip(("after", "forgot nothing", "oracle"), spans, strict=True)
        told = ", ".join(f"{what} {i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]" for what, i in named)
        return Verdict(
            name,
            round(after.mean, 3),
            limit,
            control=before.mean,
            control_found=found,
            oracle=oracle.mean,
            detail=f"{why}{told}; {self.shadows} shadows, {self.pairs} pairs",
        )


def combine(held: Trial, runs: Floats, *, seed: int, draws: int = 1000, level: float = 0.99) -> Membership:
    """The audit of `runs` [shadows, 3, pairs], the outcomes of `Trial.run` in the order of the shadows.

    Each state is attacked with the evidence of the shadows before forgetting, and with evidence of its own; the worse
    of the two counts, for AUC and TPR each. Intervals resample canary groups.
    """
    shape = (len(held.present), len(STATES), len(held.asked))
    if runs.shape != shape:
        raise ValueError(f"runs have shape {runs.shape}, this trial needs {shape}")
    member, before = held.present[:, held.asked.owner], runs[:, 0]
    owner = np.broadcast_to(held.asked.owner, member.shape).ravel()
    worst = []
    for state in range(len(STATES)):
        target = runs[:, state]
        known = [before] if state == 0 else [before, target]
        ratios = [likelihood_ratios(target, evidence, member) for evidence in known]
        attacks = [
            attack(Evidence(r.ravel(), member.ravel(), owner), seed=seed, draws=draws, level=level) for r in ratios
        ]
        aucs, tprs = [found.auc for found in attacks], [found.tpr for found in attacks]
        worst.append(Attack(max(aucs, key=_mean), max(tprs, key=_mean)))
    before_forgetting, after, oracle = worst
    return Membership(before_forgetting, after, oracle, shadows=shape[0], pairs=shape[2])


def _mean(span: Interval) -> float:
    return span.mean
