"""An adapter from item text: probes, a lesson, a training, an examination. No store, no interaction, no person.

Everything is made of the catalogue and the model: nothing here could read a user's row, for nothing here is given one.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Self

from db.records import Item, ItemId, Verdict
from llm.adapter_file import AdapterFile
from llm.adapters import adding
from llm.model import LanguageModel
from pipelines.concepts.plan import ConceptPlan
from pipelines.evaluate_concepts.subject import Subject, subject
from unlearning.concept.base import Concept, Forgetting, Kind, ProbeKind, Use
from unlearning.concept.evaluate import Examined, Fork, Questionnaire, examine
from unlearning.concept.gates import Gates, Judged, gated, judge
from unlearning.concept.methods import make
from unlearning.concept.nearest import Vectors
from unlearning.concept.rehearsal import rehearsing
from unlearning.concept.trained import TrainedAdapter

Bars = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""A progress bar for each piece of work, by its name."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An adapter that is not registered yet, and how it stood up to the gates on held-out probes."""

    adapter: TrainedAdapter
    judged: Judged


def fit(
    model: LanguageModel,
    concept: Concept,
    catalogue: Sequence[Item],
    plan: ConceptPlan,
    *,
    seed: int,
    bars: Bars,
    vectors: Vectors | None = None,
    beside: Sequence[AdapterFile] = (),
) -> Fitted:
    """Train an adapter by the plan's method and hold it to the plan's gates. The model is left as it was.

    Items near the concept are those by `vectors`, where given, otherwise by words of titles. Adapters `beside` act
    while it trains and is judged, as they will when it serves: what is near to their concepts is kept too, and a gate
    of theirs that held without the new adapter and fails with it is among its verdicts. Raises LetheError where the
    concept leaves nothing to compare it with.
    """
    forgotten = [concept, *_concepts_of(beside, catalogue)]
    about, *others = (
        subject(one, _without(catalogue, forgotten, one), seed=seed, sizes=plan.sizes, vectors=vectors)
        for one in forgotten
    )
    lesson = rehearsing(about.lesson, about.probes, [other.lesson for other in others])
    trained = {probe.item for probe in lesson.probes.kept(Use.TRAIN)}
    trials = [_Trial.of(model, about.asked), *(_Trial.of(model, _unmet(other.asked, trained)) for other in others)]
    with ExitStack() as acting:
        for one in beside:
            acting.enter_context(adding(model.model, one))
        stood = [trial.judged(model, Fork(model), plan.gates) for trial in trials[1:]]
        with bars(f"forget {concept.name} in {model.name}") as bar:
            made = make(plan.method, plan.settings).fit(model, lesson, seed=seed, progress=bar)
        if not isinstance(made, TrainedAdapter):  # the plan lets only such methods through
            raise TypeError(f"method {plan.method} made {type(made).__name__}, no adapter")
        with bars("ask what was held out") as bar:
            found = []
            for place, trial in enumerate(trials, 1):
                found.append(trial.judged(model, made, plan.gates))
                bar(place, len(trials))
    broken = (
        bad for before, after, one in zip(stood, found[1:], others, strict=True) for bad in _broken(before, after, one)
    )
    return Fitted(made, Judged((*found[0].verdicts, *broken)))


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the gates of one concept ask, and what the model said before any adapter acted."""

    asked: Questionnaire
    base: Examined

    @classmethod
    def of(cls, model: LanguageModel, asked: Questionnaire) -> Self:
        """Ask the model as it stands."""
        return cls(gated(asked), examine(model, Fork(model), gated(asked)))

    def judged(self, model: LanguageModel, forgetting: Forgetting, gates: Gates) -> Judged:
        """The verdicts on a forgetting, beside whatever acts on the model already."""
        return judge(self.base, examine(model, forgetting, self.asked), gates)


def _concepts_of(adapters: Sequence[AdapterFile], catalogue: Sequence[Item]) -> Iterator[Concept]:
    """What adapters forget, of this catalogue; of one whose items have all left it nothing can be asked any more."""
    for adapter in adapters:
        items = tuple(item for item in catalogue if item.id in adapter.card.items)
        if items:
            yield Concept(adapter.card.concept, Kind(adapter.card.kind), items)


def _without(catalogue: Sequence[Item], forgotten: Sequence[Concept], own: Concept) -> list[Item]:
    """The catalogue without what other concepts forgot and this one did not."""
    gone = {item for one in forgotten for item in one.ids} - own.ids
    return [item for item in catalogue if item.id not in gone]


def _unmet(asked: Questionnaire, trained: Set[ItemId | None]) -> Questionnaire:
    """The questions of another concept, without items that train here and would measure what else must stay there."""
    retained = tuple(probe for probe in asked.of(ProbeKind.RETAIN) if probe.item not in trained)
    return replace(asked, probes={**asked.probes, ProbeKind.RETAIN: retained})


def _broken(before: Judged, after: Judged, about: Subject) -> Iterator[Verdict]:
    """The gates of a concept that held and do not hold any more, under its name."""
    for held, now in zip(before.verdicts, after.verdicts, strict=True):
        if held.passed and not now.passed:
            yield replace(now, audit=f"{now.audit} ({about.concept.name})")
