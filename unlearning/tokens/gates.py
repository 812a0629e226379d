"""What a generative recommender must keep to before it is served with other ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from db.errors import LetheError
from db.records import Verdict
from recsys.candidates import IntArray
from recsys.metrics import evaluate
from recsys.semantic_ids.backbone import SemanticIds
from unlearning.tokens.case import Case

TOP = 10


@dataclass(frozen=True, slots=True)
class Gates:
    """Thresholds."""

    exposure: float = 0.5
    """Slots that concept items take in lists of ten, of what they took before: at most."""
    utility: float = 0.97
    """NDCG@10 of people's last items, of what it was before: at least."""
    people: int = 1000
    """Who are asked, by lot."""
    positions: int = 10
    """Last items of each history that are asked for, each after what came before it: one alone tells .03 from nothing
    no better than a coin (docs/experiments.md)."""

    def __post_init__(self) -> None:
        if not 0 <= self.exposure < inf:
            raise LetheError(f"exposure is {self.exposure}: give 0 or a number above it")
        if not 0 <= self.utility <= 1:
            raise LetheError(f"utility is {self.utility}: give a share from 0 to 1")
        for name in ("people", "positions"):
            if getattr(self, name) < 1:
                raise LetheError(f"{name} is {getattr(self, name)}: give 1 or more")


def judged(case: Case, made: SemanticIds, gates: Gates, *, seed: int) -> tuple[Verdict, ...]:
    """Verdicts on exposure and on what is lost elsewhere; the recommender that forgot nothing is the control."""
    histories = [history for history in case.histories() if len(history) > 1]
    if not histories:
        raise LetheError("nobody met two items: there is nobody to ask what was forgotten")
    order = np.random.default_rng(seed).permutation(len(histories))[: gates.people].tolist()
    asked = [histories[place] for place in order]
    before, after = exposure(case.model, asked, case.concept), exposure(made, asked, case.concept)
    questions = last_items(asked, case.concept, gates.positions)
    kept, was = (utility(model, questions) for model in (made, case.model))
    lost = 1 - kept / was if was > 0 else 0.0
    return (
        Verdict(
            "exposure of the concept", after, gates.exposure * before, control=before, control_found=before > 0,
            detail=f"share of the slots of lists of {TOP}, {len(asked)} people",
        ),
        Verdict(
            "NDCG@10 lost elsewhere", lost, 1 - gates.utility, control=1.0, control_found=was > 0,
            detail=f"{len(questions)} last items of people that are no items of the concept; {was:.4f} before",
        ),
    )  # fmt: skip


def exposure(
    model: SemanticIds, histories: Sequence[IntArray], concept: IntArray, closed: IntArray | None = None
) -> float:
    """Share of the slots of lists of ten that concept items take; what was met, and what is closed, is not offered."""
    shut = [history if closed is None else np.union1d(history, closed) for history in histories]
    rows = np.concatenate([found.rows for found in model.candidates(histories, shut, TOP)])
    return float(np.isin(rows, concept).mean()) if len(rows) else 0.0


def last_items(histories: Sequence[IntArray], concept: IntArray, positions: int) -> list[IntArray]:
    """Each history up to each of its last items, that item at the end; none of the concept, none that nothing precedes.

    >>> asked = last_items([np.array([5, 6, 7]), np.array([8])], np.array([6]), 2)
    >>> [one.tolist() for one in asked]
    [[5, 6, 7]]
    """
    ends = (
        (history, end) for history in histories for end in range(max(2, len(history) - positions + 1), len(history) + 1)
    )
    return [history[:end] for history, end in ends if not np.isin(history[end - 1], concept)]


def utility(model: SemanticIds, asked: Sequence[IntArray]) -> float:
    """Mean NDCG@10 of the last item of each history after the rest of it."""
    if not asked:
        return 0.0
    before = [history[:-1] for history in asked]
    lists = [found.rows for found in model.candidates(before, before, TOP)]
    return float(evaluate(lists, [history[-1:] for history in asked], TOP).ndcg.mean())
