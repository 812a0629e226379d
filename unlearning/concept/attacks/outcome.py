"""What an attack brought to light, and how it is held against the base."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm.model import LanguageModel
from unlearning.concept.answers import ask
from unlearning.concept.base import Probe
from unlearning.concept.cells import Sample


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known under one attack, in one variant, after so many steps of it (0 where it has none)."""

    attack: str
    variant: str
    steps: int
    known: Sample
    """1 for each question answered exactly; for a forced choice, where the concept item comes out above."""
    probability: float
    """The mean probability of the true answers; NaN for a choice."""


def ask_all(model: LanguageModel, probes: Sequence[Probe], attack: str, variant: str, *, steps: int = 0) -> Outcome:
    """The outcome of asking these probes as the model stands."""
    found = ask(model, probes)
    known = Sample(found.exact, tuple(str(probe.item) for probe in probes))
    return Outcome(attack, variant, steps, known, float(found.probability.mean()) if probes else float("nan"))


def comeback(base: float, before: float, after: float) -> float:
    """The share of what was forgotten that an attack brought back: 0 for none, 1 for the base; NaN if nothing had gone.

    >>> comeback(base=0.9, before=0.1, after=0.3)
    0.25
    """
    return round((after - before) / (base - before), 12) if base > before else float("nan")
