"""An adapter from item text: probes, a lesson, a training, an examination. No store, no interaction, no person.

Everything is made of the catalogue and the model: nothing here could read a user's row, for nothing here is given one.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from db.records import Item
from llm.model import LanguageModel
from pipelines.concepts.plan import ConceptPlan
from pipelines.evaluate_concepts.subject import subject
from unlearning.concept.base import Concept
from unlearning.concept.evaluate import Fork, examine
from unlearning.concept.gates import Judged, gated, judge
from unlearning.concept.methods import make
from unlearning.concept.nearest import Vectors
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
) -> Fitted:
    """Train an adapter by the plan's method and hold it to the plan's gates. The model is left as it was.

    Items near the concept are those by `vectors`, where given, otherwise by words of titles. Raises LetheError where
    the concept leaves nothing to compare it with.
    """
    about = subject(concept, catalogue, seed=seed, sizes=plan.sizes, vectors=vectors)
    with bars(f"forget {concept.name} in {model.name}") as bar:
        made = make(plan.method, plan.settings).fit(model, about.lesson, seed=seed, progress=bar)
    if not isinstance(made, TrainedAdapter):  # the plan lets only such methods through
        raise TypeError(f"method {plan.method} made {type(made).__name__}, no adapter")
    with bars("ask what was held out") as bar:
        base = examine(model, Fork(model), gated(about.asked))
        bar(1, 2)
        after = examine(model, made, gated(about.asked))
        bar(2, 2)
    return Fitted(made, judge(base, after, plan.gates))
