"""What people are offered, and how good that is: lists of the served path, nobody left out silently."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.evaluate.audience import Audience
from recsys.candidates import Backbone, IntArray
from recsys.heldout import HeldOut, lists
from recsys.metrics import PAD, evaluate, pad
from recsys.popularity import Popularity

CUTOFFS = (5, 10, 20)

DEPTH = 50
"""Length of the lists that are kept, as the audits of distance want them."""

POPULARITY = "popularity"
"""The origin of a list of somebody without a history."""

METRICS = tuple(f"{name}@{k}" for name in ("hit_rate", "ndcg", "recall") for k in CUTOFFS)


class View(StrEnum):
    """From which history a person is asked about."""

    SERVED = "served"
    """What the system may see at that moment."""
    RETURNED = "returned"
    """After forgetting, with the old history given back: what the model itself still knows shows here."""
    RERANKED = "reranked"
    """As served, then ordered by the language model."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One list a person, in the order of the questions: item rows [people, DEPTH], filled with `PAD`."""

    questions: HeldOut
    lists: IntArray
    origin: NDArray[np.str_]


def answer(model: Backbone, floor: Popularity, questions: HeldOut) -> Answers:
    """The served path for the warm; people without a history get popularity, marked as such."""
    warm = questions.warm
    found: list[IntArray] = [np.zeros(0, np.int64)] * len(warm)
    for place, rows in zip(np.flatnonzero(warm), lists(model, questions.take(warm), DEPTH), strict=True):
        found[place] = rows
    cold = np.flatnonzero(~warm)
    served = floor.fallback([questions.exclude[place] for place in cold], DEPTH) if len(cold) else []
    for place, candidates in zip(cold, served, strict=True):
        found[place] = candidates.rows
    origin = np.where(warm, "backbone", POPULARITY)
    return Answers(questions, pad(found, DEPTH), origin)


def frame(answers: Answers, users: Sequence[str], who: Audience, *, phase: str, view: View) -> pl.DataFrame:
    """One row a person: ids, group, metrics and the list. Columns are the same for every phase and view."""
    asked = answers.questions
    people = asked.people
    columns: dict[str, object] = {
        "user": [users[row] for row in people.tolist()],
        "row": people,
        "group": who.group[people],
        "neighbour": who.neighbour[people],
        "random": who.random[people],
        "activity": who.activity[people],
        "phase": np.full(len(people), phase),
        "view": np.full(len(people), view.value),
        "warm": asked.warm,
        "origin": answers.origin,
        "relevant": np.array([len(wanted) for wanted in asked.relevant], dtype=np.int64),
        **_metrics(answers),
    }
    listed = pl.Series("list", answers.lists.astype(np.int32), dtype=pl.Array(pl.Int32, DEPTH))
    return pl.DataFrame(columns).with_columns(listed)


def cut(rankings: Sequence[IntArray]) -> IntArray:
    """Rankings as a list matrix of the kept length."""
    return pad(rankings, DEPTH)


def _metrics(answers: Answers) -> dict[str, NDArray[np.float64]]:
    shown = [row[row != PAD] for row in answers.lists]
    named: dict[str, NDArray[np.float64]] = {}
    for k in CUTOFFS:
        found = evaluate(shown, answers.questions.relevant, k)
        named |= {f"hit_rate@{k}": found.hit_rate, f"ndcg@{k}": found.ndcg, f"recall@{k}": found.recall}
    return {name: named[name] for name in METRICS}
