"""Every attack in its fixed budget: those that only ask or round, and those that train."""

from collections.abc import Iterator, Sequence

from llm.model import LanguageModel
from unlearning.concept.attacks.drawn import examples, halves
from unlearning.concept.attacks.formats import formats
from unlearning.concept.attacks.history import reinjection
from unlearning.concept.attacks.outcome import Outcome, ask_all
from unlearning.concept.attacks.prefixes import prefixes
from unlearning.concept.attacks.quantise import quantisation
from unlearning.concept.attacks.relearn import USUAL, Attempt, Budget, relearn
from unlearning.concept.attacks.trainable import Way
from unlearning.concept.base import Concept, Forgetting, ProbeKind, ProbeSet, Progress, Use, quiet
from unlearning.concept.evaluate import Questionnaire

MOST = 96
"""Questions that an attack is measured by."""
TAUGHT = (5, 20)
"""Examples of the concept that a relearning gets."""


def attack(
    model: LanguageModel, forgetting: Forgetting, concept: Concept, asked: Questionnaire, *, seed: int
) -> tuple[Outcome, ...]:
    """Formats, answers begun, rounding, history, and the raw base, which is what taking the forgetting off leaves."""
    direct = examples(asked.of(ProbeKind.DIRECT), MOST, seed=seed)
    begun = examples(asked.of(ProbeKind.FORCED_PREFIX), MOST, seed=seed)
    choices = [
        (one.history, item, control) for one in asked.listings[: MOST // 4] for item, control in list(one.pairs)[:2]
    ]
    return (
        *formats(model, forgetting, direct),
        *prefixes(model, forgetting, (*direct, *begun)),
        *quantisation(model, forgetting, direct),
        *reinjection(model, forgetting, concept, direct, choices=choices),
        ask_all(model, direct, "raw base", "forgetting taken off"),
    )


def attempts(probes: ProbeSet, *, seed: int) -> Iterator[Attempt]:
    """Relearning from a few examples, from half of the facts, and from facts of other items."""
    taught = probes.of(ProbeKind.DIRECT, use=Use.TRAIN).probes
    asked = examples(probes.of(ProbeKind.DIRECT, use=Use.HELD_OUT).probes, MOST, seed=seed)
    for count in TAUGHT:
        yield Attempt(f"relearn {count}", examples(taught, count, seed=seed), asked)
    first, second = halves(taught, probes.of(ProbeKind.DIRECT, use=Use.HELD_OUT).probes, seed=seed)
    if first and second:
        yield Attempt("relearn half", first, examples(second, MOST, seed=seed))
    yield Attempt("benign", probes.of(ProbeKind.RETAIN, use=Use.TRAIN).probes, asked)


def relearning(
    model: LanguageModel,
    forgetting: Forgetting,
    tries: Sequence[Attempt],
    budget: Budget = USUAL,
    *,
    seed: int,
    progress: Progress = quiet,
) -> tuple[Outcome, ...]:
    """Every attempt in both ways; a forgetting without adapters has only the fresh one."""
    found: list[Outcome] = []
    for number, (attempt, way) in enumerate((attempt, way) for attempt in tries for way in Way):
        found += relearn(model, forgetting, attempt, budget, way=way, seed=seed)
        progress(number + 1, len(tries) * len(Way))
    return tuple(found)
