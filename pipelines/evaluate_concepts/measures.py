"""What is measured of one forgetting: the bridge between this harness and `unlearning.concept`'s measures."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from llm.model import LanguageModel
from pipelines.evaluate_concepts.cells import Measured, frame
from pipelines.evaluate_concepts.subject import Subject
from unlearning.concept import evaluate
from unlearning.concept.attacks.drawn import examples
from unlearning.concept.attacks.relearn import USUAL, Budget
from unlearning.concept.attacks.suite import MOST
from unlearning.concept.base import Forgetting, ProbeKind
from unlearning.concept.cells import Sample
from unlearning.concept.depth import Depth, depth
from unlearning.concept.evaluate import (
    EXTRACTION,
    Questionnaire,
    accuracy_of,
    examine,
    preference_of,
    probability_of,
)
from unlearning.concept.probe_kinds import GENRES, TITLE


@dataclass(frozen=True, slots=True)
class Case:
    """A forgetting of a base, about a subject."""

    base: LanguageModel
    forgetting: Forgetting
    subject: Subject
    seed: int
    draw: int = 0
    """Seed of what is asked: the same for every method."""
    budget: Budget = USUAL
    """What a relearning attack may spend."""


def examined(case: Case) -> Measured:
    """Every held-out question asked, what was said of the model's own accord, and how long that took."""
    started = time.perf_counter()
    found = examine(case.base, case.forgetting, case.subject.asked)
    seconds = time.perf_counter() - started
    spoken = [asdict(one) for one in found.spoken]
    facts = {"method": dict(case.forgetting.facts), "spoken": spoken, "examining_seconds": seconds}
    return Measured(frame(found.samples, questions(case.subject.asked)), facts)


def unmet(case: Case) -> Measured:
    """Forced choices under titles that do not exist, as the base makes them."""
    found = evaluate.unmet(case.base, case.subject.asked)
    return Measured(frame(found, questions(case.subject.asked)))


def questions(asked: Questionnaire) -> dict[str, Sequence[str]]:
    """The text of each measure's questions, in order; lists have none."""
    texts: dict[str, Sequence[str]] = {}
    for kind in ProbeKind:
        own = [probe.question for probe in asked.of(kind)]
        texts |= {accuracy_of(kind): own, probability_of(kind): own}
    texts[EXTRACTION] = texts[accuracy_of(ProbeKind.DIRECT)]
    for form in (GENRES, TITLE):
        chosen = [probe for probe in asked.of(ProbeKind.FORCED_CANDIDATE) if probe.form == form]
        texts[preference_of(form)] = [probe.question.rpartition("\n")[2] for probe in chosen]
    return texts


def deep(case: Case, oracle: LanguageModel) -> Measured:
    """Which layers still carry the concept, between base and oracle; rows are layers."""
    forget, keep = (
        examples(case.subject.asked.of(kind), MOST, seed=case.draw) for kind in (ProbeKind.DIRECT, ProbeKind.RETAIN)
    )
    found = depth(case.base, case.forgetting, oracle, forget, keep)
    names = ("fall", "oracle_fall", "control", "lens", "lens_base", "lens_oracle", "by_layer")
    layers = {name: Sample(getattr(found, name), _layers(found)) for name in names}
    by_layer = [None if np.isnan(share) else float(share) for share in found.by_layer]
    told = {"score": None if found.void else found.score, "void": found.void, "by_layer": by_layer}
    return Measured(frame(layers, {}), {"depth": told})


def _layers(found: Depth) -> tuple[str, ...]:
    return tuple(str(layer) for layer in range(len(found.fall)))
