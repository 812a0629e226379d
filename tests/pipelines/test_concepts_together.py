"""Three concepts forgotten at once by the shipped model: with all adapters acting, the gates of each still hold."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from db.records import Item
from llm.adapter_file import AdapterFile
from llm.model import LanguageModel, load
from pipelines.concepts.fit import Fitted, fit
from pipelines.concepts.plan import ConceptPlan
from pipelines.evaluate_concepts.subject import named, subject
from pipelines.generations import fresh_seed
from retrieval.embeddings import TextEncoder, embed_items
from retrieval.text import centred
from tests.llm.conftest import ml100k  # noqa: F401  (a fixture)
from tests.pipelines.evaluations import no_bars
from unlearning.concept.base import Concept, Forgetting
from unlearning.concept.evaluate import Fork, Questionnaire, examine
from unlearning.concept.gates import gated, judge
from unlearning.concept.nearest import Vectors
from unlearning.concept.trained import TrainedAdapter

NAMES = ("Casablanca", "Star Trek", "Batman")
ATTEMPTS = 3
"""Trainings of one concept: whoever repeats a refused `lethe forget concept` gets another seed each time."""


@dataclass(frozen=True)
class Together:
    """Several forgettings, one above the other."""

    parts: Sequence[Forgetting]
    facts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.applied(model))
            yield model


def without(asked: Questionnaire, gone: set[str]) -> Questionnaire:
    """What is asked about other concepts that are forgotten too says nothing of what must stay."""
    return Questionnaire(
        {kind: tuple(probe for probe in probes if probe.item not in gone) for kind, probes in asked.probes.items()},
        asked.listings,
        asked.lists,
    )


def accepted(
    model: LanguageModel, concept: Concept, catalogue: Sequence[Item], near: Vectors, beside: Sequence[AdapterFile]
) -> Fitted:
    """The first adapter that passes the gates, with the seeds that the command takes one after another."""
    plan, refused = ConceptPlan(), []
    for tried in range(ATTEMPTS):
        seed = fresh_seed(0, tried) if tried else 0
        made = fit(model, concept, catalogue, plan, seed=seed, bars=no_bars, vectors=near, beside=beside)
        if made.judged.passed:
            return made
        refused.append(made.judged.failing)
    pytest.fail(f"{concept.name}: {ATTEMPTS} trainings were refused: {refused}")


@pytest.mark.nightly
def test_three_adapters_act_together_and_each_keeps_its_gates(ml100k):  # noqa: F811
    model, plan = load("lethe-tiny", device="cpu"), ConceptPlan()
    rows = centred(embed_items(TextEncoder.load(), ml100k))
    near = {item.id: row for item, row in zip(ml100k, rows, strict=True)}
    concepts = [named(name, ml100k) for name in NAMES]
    made: list[TrainedAdapter] = []
    for concept in concepts:
        made.append(accepted(model, concept, ml100k, near, [one.file for one in made]).adapter)
    together = Together(made)
    for concept in concepts:
        others = {item.id for other in concepts if other is not concept for item in other.items}
        whole = subject(concept, ml100k, seed=0, sizes=plan.sizes, vectors=near).asked
        asked = without(gated(whole), others)
        judged = judge(examine(model, Fork(model), asked), examine(model, together, asked), plan.gates)
        assert judged.failing == (), concept.name
