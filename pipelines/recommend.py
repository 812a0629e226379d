"""A recommendation, from left to right: history, candidates, context, ranking. Read this file first.

What concepts were forgotten, for everybody or for one person, is left out on the way (`pipelines.concepts.serve`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from db.records import Item, ItemId, UserId
from llm.ranking import Origin
from llm.rerank import rerank
from pipelines.serving import Recommender
from recsys.candidates import IntArray
from retrieval.assemble import assemble


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One person's list, best first, with what it was made from."""

    user: UserId
    items: tuple[ItemId, ...]
    scores: tuple[float, ...]
    origin: Origin
    sources: tuple[str, ...]
    """For each item the retrieval that brought it: backbone, text or popularity."""
    shown: tuple[Item, ...]
    """The part of the history that the model saw."""


def recommend(served: Recommender, people: Mapping[UserId, IntArray]) -> list[Recommendation]:
    """Lists for people, given their visible histories as item rows; nobody's list depends on who else is asked for."""
    plan, forgotten = served.plan, served.forgotten
    histories = [forgotten.visible(user, history) for user, history in people.items()]
    closed = [forgotten.closed(user, history) for user, history in people.items()]
    candidates = served.retriever.candidates(histories, closed, plan.candidates)
    contexts = [
        assemble(user, history, found, served.items, served.filter, length=plan.length, seed=plan.seed)
        for user, history, found in zip(people, histories, candidates, strict=True)
    ]
    rank = partial(rerank, scorer=served.scorer, weight=served.weight, max_shift=plan.max_shift)
    rankings = forgotten.ranked(contexts, [found.scores for found in candidates], rank)
    made = []
    for context, found, ranking in zip(contexts, candidates, rankings, strict=True):
        brought = dict(zip((item.id for item in context.candidates), found.origin, strict=True))
        items, scores = ranking.items[: plan.top], ranking.scores[: plan.top]
        sources = tuple(brought[item] for item in items)
        made.append(Recommendation(context.user, items, scores, ranking.origin, sources, context.history))
    return made
