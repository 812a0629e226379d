"""Three concepts forgotten at once by the shipped model: with all adapters acting, the gates of each still hold."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from llm.model import LanguageModel, load
from pipelines.concepts.fit import fit
from pipelines.concepts.plan import ConceptPlan
from pipelines.evaluate_concepts.subject import named, subject
from tests.llm.conftest import ml100k  # noqa: F401  (a fixture)
from tests.pipelines.evaluations import no_bars
from unlearning.concept.base import Forgetting
from unlearning.concept.evaluate import Fork, Questionnaire, examine
from unlearning.concept.gates import gated, judge

NAMES = ("Casablanca", "Star Trek", "Film-Noir")


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


@pytest.mark.nightly
def test_three_adapters_act_together_and_each_keeps_its_gates(ml100k):  # noqa: F811
    model, plan = load("lethe-tiny", device="cpu"), ConceptPlan()
    concepts = [named(name, ml100k) for name in NAMES]
    made = [fit(model, concept, ml100k, plan, seed=0, bars=no_bars) for concept in concepts]
    assert [one.judged.failing for one in made] == [(), (), ()]
    together = Together([one.adapter for one in made])
    for concept in concepts:
        others = {item.id for other in concepts if other is not concept for item in other.items}
        asked = without(gated(subject(concept, ml100k, seed=0, sizes=plan.sizes).asked), others)
        judged = judge(examine(model, Fork(model), asked), examine(model, together, asked), plan.gates)
        assert judged.failing == ()
