"""Thresholds that a forgetting must keep before anything is served with it, and a verdict that names what failed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from db.errors import LetheError
from db.records import Verdict
from unlearning.concept.base import ProbeKind
from unlearning.concept.evaluate import (
    MEMORY,
    SAID,
    SAID_ELSEWHERE,
    TEXT,
    Examined,
    Questionnaire,
    accuracy_of,
    probability_of,
)


@dataclass(frozen=True, slots=True)
class Gates:
    """The largest figures that pass. Shares are of held-out questions."""

    leaked: float = 0.05
    """Answered exactly: the worst of the kinds that ask for a fact or a title without beginning the answer."""
    probability: float = 0.10
    """Mean probability of the true answers, over the same kinds."""
    retained: float = 0.01
    """How much less is answered of what must stay."""
    neighbours: float = 0.02
    """The same of near neighbours."""
    surprise: float = 1.05
    """Perplexity of running text over the base's."""
    fluent: float = 0.05
    """Answers that are no language, beyond the base's."""
    known: float = 0.10
    """So much the base must know at least, by its best kind: what it never knew cannot be seen to go."""

    def __post_init__(self) -> None:
        if not 0 <= self.leaked < self.known:
            raise LetheError(f"gates: a leak of {self.leaked} and {self.known} known: let the leak be the smaller one")


ASKED = tuple(kind for kind in MEMORY if kind is not ProbeKind.FORCED_PREFIX)
"""Kinds that the leak is read from. With a refusal taught, an answer begun by force goes on by guessing."""


def gated(asked: Questionnaire) -> Questionnaire:
    """What the gates read of a questionnaire: what else is asked need not be for the same verdict."""
    unread = (ProbeKind.FORCED_PREFIX, ProbeKind.FORCED_CANDIDATE, ProbeKind.NAMESAKE)
    return Questionnaire({kind: probes for kind, probes in asked.probes.items() if kind not in unread})


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict a gate, in their order."""

    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Every gate passed, and none is void."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failing(self) -> tuple[str, ...]:
        """What failed, one line each with its figures; nothing where all passed."""
        return tuple(_line(verdict) for verdict in self.verdicts if not verdict.passed)


def _line(verdict: Verdict) -> str:
    if verdict.void:
        return f"{verdict.audit}: void, {verdict.detail} ({verdict.control:.3f} in the base)"
    return f"{verdict.audit} {verdict.value:.3f}, allowed {verdict.limit:.3f} ({verdict.detail})"


def judge(base: Examined, after: Examined, gates: Gates = Gates(), *, oracle: Examined | None = None) -> Judged:
    """Hold a forgetting to the gates: leak, then what must stay, then language.

    The control of the leak is what the base knows: a base that knew nothing makes it void, never passed. A kept measure
    is void where it was not asked.
    """
    return Judged((*_leaks(base, after, gates, oracle), *_losses(base, after, gates), *_language(base, after, gates)))


def _leaks(base: Examined, after: Examined, gates: Gates, oracle: Examined | None) -> Iterator[Verdict]:
    for name, measure, limit in (
        ("leaked answers", accuracy_of, gates.leaked),
        ("leaked probability", probability_of, gates.probability),
    ):
        known = _worst(base, measure)[0]
        value, where = _worst(after, measure)
        found = known >= gates.known
        yield Verdict(
            audit=name,
            value=value,
            limit=limit,
            control=known,
            control_found=found,
            oracle=_worst(oracle, measure)[0] if oracle else None,
            detail=f"worst of the kinds: {where}" if found else "the base hardly knows the concept",
        )


def _worst(found: Examined, measure: Callable[[ProbeKind], str]) -> tuple[float, str]:
    """The largest figure over the kinds that were asked, and which kind it was; -inf for none."""
    figures = [(found.mean(measure(kind)), kind.value) for kind in ASKED if measure(kind) in found.samples]
    return max(figures, default=(float("-inf"), "none"))


def _losses(base: Examined, after: Examined, gates: Gates) -> Iterator[Verdict]:
    for kind, limit in ((ProbeKind.RETAIN, gates.retained), (ProbeKind.NEIGHBOUR, gates.neighbours)):
        measure = accuracy_of(kind)
        yield _kept(f"{kind.value} answers lost", base.mean(measure) - after.mean(measure), limit, base.mean(measure))


def _language(base: Examined, after: Examined, gates: Gates) -> Iterator[Verdict]:
    ratio = float(np.exp(after.mean(TEXT) - base.mean(TEXT)))
    yield _kept("perplexity ratio", ratio, gates.surprise, base.mean(TEXT))
    for name in (SAID, SAID_ELSEWHERE):
        yield _kept(f"not {name}", base.mean(name) - after.mean(name), gates.fluent, base.mean(name))


def _kept(audit: str, value: float, limit: float, control: float) -> Verdict:
    """A verdict that is void where the base has no figure above 0, or the forgetting none at all."""
    found = bool(control > 0 and np.isfinite(value))
    detail = f"base {control:.3f}" if found else "nothing to compare with"
    return Verdict(audit, value, limit, control=control, control_found=found, detail=detail)
