"""Choices made on validation rows: the share of text neighbours, and the language model's weight."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from db.records import Item, UserId
from llm.fusion import WeightChoice, choose_weight
from llm.score.base import Scorer
from pipelines.config import Plan
from recsys.candidates import Backbone, Candidates
from recsys.heldout import HeldOut
from retrieval.assemble import assemble
from retrieval.context import Context
from retrieval.filters.base import HistoryFilter
from retrieval.lead import lead_of
from retrieval.quota import QuotaChoice, choose_quota
from retrieval.retrieve import Retriever
from retrieval.text import TextIndex

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Validation people with their candidates and prompts, ready to be scored."""

    candidates: list[Candidates]
    contexts: list[Context]
    questions: HeldOut


def quota(backbone: Backbone, text: TextIndex, questions: HeldOut, plan: Plan) -> QuotaChoice:
    """The share of text neighbours with the best recall of the candidate lists."""
    width = plan.candidates
    led = lead_of(backbone).candidates(questions.histories, questions.exclude, width)
    near = text.candidates(questions.histories, questions.exclude, width)
    return choose_quota([c.rows for c in led], [c.rows for c in near], questions.relevant, k=width)


def asked(items: Sequence[Item], retriever: Retriever, keep: HistoryFilter, questions: HeldOut, plan: Plan) -> Asked:
    """Prompts for a sample of validation people, from their training histories."""
    sample = _sample(questions, plan)
    found = retriever.candidates(sample.histories, sample.exclude, plan.candidates)
    contexts = [
        assemble(UserId(str(person)), history, c, items, keep, length=plan.length, seed=plan.seed)
        for person, history, c in zip(sample.people.tolist(), sample.histories, found, strict=True)
    ]
    return Asked(found, contexts, sample)


def weight(asked_of: Asked, scorer: Scorer, plan: Plan, *, progress: Progress, batch: int = 16) -> WeightChoice:
    """The model's weight on these people; 0 unless the interval of its uplift lies above 0."""
    opinions = []
    for start in range(0, len(asked_of.contexts), batch):
        opinions += scorer.score(asked_of.contexts[start : start + batch])
        progress(min(start + batch, len(asked_of.contexts)), len(asked_of.contexts))
    found = asked_of.candidates
    return choose_weight(
        [c.scores for c in found],
        [opinion.values for opinion in opinions],
        [np.isin(c.rows, wanted) for c, wanted in zip(found, asked_of.questions.relevant, strict=True)],
        relevant=[len(wanted) for wanted in asked_of.questions.relevant],
        seed=plan.seed,
    )


def told(choice: WeightChoice | QuotaChoice) -> dict[str, Any]:
    """The choice as the settings record keeps it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(choice).items()}


def _sample(questions: HeldOut, plan: Plan) -> HeldOut:
    people = len(questions.people)
    chosen = np.zeros(people, dtype=np.bool_)
    rng = np.random.default_rng(plan.seed)
    chosen[rng.choice(people, size=min(plan.tuning_people, people), replace=False)] = True
    return questions.take(chosen)
