"""The same lists, ordered by the language model: for the columns "with the re-ranker"."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from db.records import Item, UserId
from llm.rerank import rerank
from llm.score.base import Scorer
from pipelines import models, tune
from pipelines.config import Plan
from pipelines.evaluate.answers import Answers, cut
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.world import Asked
from recsys.candidates import Backbone, Candidates
from recsys.heldout import HeldOut
from retrieval.assemble import assemble
from retrieval.context import Context
from retrieval.filters.controls import Recent
from unlearning.data.base import Progress


@dataclass(frozen=True, slots=True)
class Reranker:
    """A scorer and the plan it is asked by: the candidates of the backbone, the most recent history in the prompt."""

    plan: Plan
    scorer: Scorer
    items: Sequence[Item]
    fingerprint: str
    """Of the language model's weights: another model under the same name orders lists otherwise."""
    people: int | None = None
    """At most so many people are re-ranked, the same ones under every method; None: all of them."""

    @classmethod
    def loaded(cls, plan: Plan, items: Sequence[Item], people: int | None = None) -> Self:
        """With the language model that the plan names."""
        from llm.model import load

        model = load(plan.model, device=plan.device)
        return cls(plan, models.judging(plan.scorer, model), items, model.fingerprint, people)

    def weight(self, model: Backbone, questions: HeldOut, guard: Guard, progress: Progress) -> dict[str, Any]:
        """The weight that warm validation people choose for this backbone, and what it was chosen from."""
        asked = guard.tuning(self._sample(questions.take(questions.warm), self.plan.tuning_people))
        found = model.candidates(asked.histories, asked.exclude, self.plan.candidates)
        contexts = self._contexts(asked, found, guard)
        choice = tune.weight(tune.Asked(found, contexts, asked), self.scorer, self.plan, progress=progress)
        return {"weight": choice.weight, "choice": tune.told(choice)}

    def answer(
        self, model: Backbone, asked: Asked, guard: Guard, *, weight: float, progress: Progress
    ) -> tuple[Answers, dict[str, int]]:
        """Re-ranked lists of people with a history, and how many lists each origin ordered, fallbacks among them."""
        warm = asked.questions.take(asked.questions.warm)
        questions = self._sample(warm, len(warm.people) if self.people is None else self.people)
        found = model.candidates(questions.histories, questions.exclude, self.plan.candidates)
        contexts = self._contexts(questions, found, guard)
        rows = {item.id: row for row, item in enumerate(self.items)}
        lists, origins = [], []
        for start in range(0, len(contexts), self.plan.chunk):
            part = slice(start, start + self.plan.chunk)
            scores = [c.scores for c in found[part]]
            made = rerank(contexts[part], scores, self.scorer, weight, max_shift=self.plan.max_shift)
            lists += [np.array([rows[item] for item in one.items], dtype=np.int64) for one in made]
            origins += [one.origin.value for one in made]
            progress(len(lists), len(contexts))
        return Answers(questions, cut(lists), np.array(origins, dtype="<U10")), dict(Counter(origins))

    def _contexts(self, questions: HeldOut, found: Sequence[Candidates], guard: Guard) -> list[Context]:
        plan, keep = self.plan, Recent()
        people = zip(questions.people.tolist(), questions.histories, found, strict=True)
        made = [
            assemble(UserId(str(row)), history, one, self.items, keep, length=plan.length, seed=plan.seed)
            for row, history, one in people
        ]
        return list(guard.prompts(questions.people, made))

    def _sample(self, questions: HeldOut, most: int) -> HeldOut:
        """The people whose hashed rows come first: who is drawn does not depend on who else was forgotten."""
        drawn = np.random.default_rng(self.plan.seed).permutation(int(questions.people.max(initial=0)) + 1)
        first = np.argsort(drawn[questions.people], kind="stable")[:most]
        return questions.take(np.isin(np.arange(len(questions.people)), first))
