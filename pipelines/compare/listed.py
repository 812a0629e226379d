"""Surfaces in lists: what is offered, what is shown in the end, and what others are shown."""

from collections.abc import Collection, Sequence

import numpy as np

from db.records import ItemId
from pipelines.compare.case import Case
from pipelines.compare.world import TOP
from recsys.metrics import evaluate, pad, rbo
from unlearning.concept.cells import FloatArray, Sample


def exposure(lists: Sequence[Sequence[ItemId]], items: Collection[ItemId], top: int = TOP) -> FloatArray:
    """The share of each list's first `top` places that these items take.

    >>> exposure([["a", "b"], ["c", "d"]], {"a", "c", "d"}, top=2).tolist()
    [0.5, 1.0]
    """
    return np.array([sum(item in items for item in one[:top]) / top for one in lists])


def served(case: Case) -> Sample:
    """Exposure in the final lists: backbone and model fused."""
    return _exposed(case, case.world.how.weight)


def alone(case: Case) -> Sample:
    """Exposure in lists that the model alone orders."""
    return _exposed(case, 1.0)


def backbone(case: Case) -> Sample:
    """Exposure in lists in which the model has no say."""
    offered = [tuple(item.id for item in one.candidates) for one in case.found.contexts]
    return _of_concerned(case, exposure(offered, case.concept.ids))


def candidates(case: Case) -> Sample:
    """The share of the candidates that are the concept's."""
    offered = [tuple(item.id for item in one.candidates) for one in case.found.contexts]
    shares = [exposure([one], case.concept.ids, top=max(1, len(one)))[0] for one in offered]
    return _of_concerned(case, np.array(shares))


def doubles(case: Case) -> Sample:
    """The share of the search's text neighbours that are second copies of concept items, where there are any."""
    if case.arm.absent:
        return _of_concerned(case, np.zeros(len(case.crowd.rows)))
    items = len(case.world.data.items)
    return _of_concerned(case, np.array([(rows >= items).mean() for rows in case.world.twice(*case.where)]))


def quality(case: Case) -> Sample:
    """NDCG@10 of the final lists without the concept's items, against what people wanted beside it."""
    lists = case.lists(case.world.how.weight)
    rest = [[item for item in one if item not in case.concept.ids] for one in lists]
    values = evaluate(case.rows(rest), case.crowd.relevant, TOP).ndcg
    return _of_concerned(case, values)


def others(case: Case) -> Sample:
    """How near the lists of those who did not ask are to what they are without anybody's request: RBO."""
    lists = case.lists(case.world.how.weight)
    here = [one for one, own in zip(lists, case.concerned, strict=True) if not own]
    before = case.unforgotten(case.world.how.weight)
    width = case.world.how.candidates
    now, then = (pad(case.rows(part), width) for part in (here, before))
    places = np.flatnonzero(~case.concerned)
    return Sample(rbo(now, then).round(12), tuple(map(str, places.tolist())))


def _exposed(case: Case, weight: float) -> Sample:
    return _of_concerned(case, exposure(case.lists(weight), case.concept.ids))


def _of_concerned(case: Case, values: FloatArray) -> Sample:
    places = np.flatnonzero(case.concerned)
    return Sample(values[places], tuple(map(str, places.tolist())))
