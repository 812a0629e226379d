"""Fitting beside adapters that act already: what is asked, what acts meanwhile, and whose gates can refuse it."""

from dataclasses import replace

import pytest

from db.records import Verdict
from llm.adapters import acting, layers_of
from pipelines.concepts import fit as module
from pipelines.concepts.fit import fit
from pipelines.concepts.plan import ConceptPlan
from pipelines.evaluate_concepts.subject import SHORT
from tests.llm.test_adapters import adapter
from tests.llm.toys import toy_model
from tests.pipelines.evaluations import no_bars
from tests.unlearning.concept.world import catalogue
from unlearning.concept.base import Concept, Kind, ProbeKind, Use
from unlearning.concept.gates import Judged
from unlearning.concept.trained import TrainedAdapter

OWN = Concept("Silent Nights", Kind.FRANCHISE, catalogue()[5:8])
HELD = Verdict("retain answers lost", 0.0, 0.01, control=0.9, control_found=True)
LOST = replace(HELD, value=0.05)


def other_adapter(model):
    """An adapter that forgets four items, one of which the new concept names too."""
    made = adapter(model, "Red Rivers")
    return replace(made, card=replace(made.card, items=tuple(item.id for item in catalogue()[7:11])))


@pytest.fixture
def watched(monkeypatch):
    """A training that takes no time and keeps what it saw; verdicts come from `answers`, in turn."""
    seen = {"subjects": {}, "acting": None, "answers": []}
    real = module.subject

    def drawn(concept, items, **given):
        seen["subjects"][concept.name] = {item.id for item in items}
        made = real(concept, items, **given)
        seen["near"] = made.lesson.probes.of(ProbeKind.NEIGHBOUR)
        return made

    def examined(model, forgetting, asked):
        seen["measured"] = {probe.item for probe in asked.of(ProbeKind.RETAIN)}

    class Quick:
        def fit(self, model, lesson, *, seed, progress):
            seen["acting"], seen["lesson"] = acting(model.model), lesson
            return TrainedAdapter(adapter(model, lesson.concept.name, seed=3, size=0.1), {})

    monkeypatch.setattr(module, "subject", drawn)
    monkeypatch.setattr(module, "examine", examined)
    monkeypatch.setattr(module, "make", lambda name, settings: Quick())
    monkeypatch.setattr(module, "judge", lambda base, after, gates: Judged((seen["answers"].pop(0),)))
    return seen


def fitted(model, beside):
    return fit(model, OWN, catalogue(), ConceptPlan(sizes=SHORT), seed=0, bars=no_bars, beside=beside)


def test_nothing_that_another_adapter_forgot_is_asked_or_taught_and_it_acts_meanwhile(watched):
    model = toy_model()
    watched["answers"] = [HELD, HELD, HELD]
    made = fitted(model, [other_adapter(model)])
    assert watched["acting"] == ["added0"]
    assert not layers_of(model.model), "the model is left as it was"
    every = {item.id for item in catalogue()}
    assert every - watched["subjects"]["Silent Nights"] == {item.id for item in catalogue()[8:11]}
    assert every - watched["subjects"]["Red Rivers"] == {item.id for item in catalogue()[5:7]}
    assert (made.judged.verdicts, made.judged.passed) == ((HELD,), True)
    own, earlier = ({probe.item for probe in taught} for taught in (watched["lesson"].probes.kept(), watched["near"]))
    assert earlier & own, "what is near to the earlier concept is kept too"
    unseen = watched["measured"]
    assert unseen
    assert not unseen & {probe.item for probe in watched["lesson"].probes.kept(Use.TRAIN)}


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [(HELD, HELD, False), (HELD, LOST, True), (LOST, LOST, False)],
    ids=["still holds", "is broken", "did not hold before"],
)
def test_a_gate_of_another_concept_that_held_and_is_broken_refuses_the_new_adapter(watched, before, after, refused):
    model = toy_model()
    watched["answers"] = [before, HELD, after]
    judged = fitted(model, [other_adapter(model)]).judged
    assert judged.passed is not refused
    assert [line.partition(" 0.")[0] for line in judged.failing] == ["retain answers lost (Red Rivers)"] * refused


def test_an_adapter_whose_items_left_the_catalogue_still_acts_and_is_asked_nothing(watched):
    model = toy_model()
    watched["answers"] = [HELD]
    old = other_adapter(model)
    fitted(model, [replace(old, card=replace(old.card, items=("gone",)))])
    assert watched["acting"] == ["added0"]
    assert list(watched["subjects"]) == ["Silent Nights"]
