"""Surfaces that are asked directly: the model in words, the raw base, and the index."""

import numpy as np

from llm.model import LanguageModel
from pipelines.compare.case import Case
from retrieval.index import ItemIndex
from unlearning.concept.attacks.history import reinjection
from unlearning.concept.base import ProbeKind
from unlearning.concept.cells import Sample
from unlearning.concept.evaluate import Fork
from unlearning.concept.recall import recall

FIRST = 10
"""Hits of a query that are looked at."""


def answers(case: Case) -> Sample:
    """Facts of the concept, in wordings that the model was trained on: 1 for each answered exactly."""
    with case.forgotten() as model:
        return _known(case, model, ProbeKind.DIRECT)


def paraphrased(case: Case) -> Sample:
    """The same in wordings that nobody was trained on."""
    with case.forgotten() as model:
        return _known(case, model, ProbeKind.PARAPHRASE)


def other_answers(case: Case) -> Sample:
    """Facts of other items, which must stay."""
    with case.forgotten() as model:
        return _known(case, model, ProbeKind.RETAIN)


def neighbour_answers(case: Case) -> Sample:
    """Facts of items near the concept, which must stay."""
    with case.forgotten() as model:
        return _known(case, model, ProbeKind.NEIGHBOUR)


def with_history(case: Case) -> Sample:
    """Facts asked after a history that names concept items."""
    probes = case.subject.asked.of(ProbeKind.DIRECT)
    with case.forgotten() as model:
        return reinjection(model, Fork(model), case.concept, probes)[0].known


def raw_base(case: Case) -> Sample:
    """Facts of the concept once whatever was put on the model is taken off."""
    return _known(case, case.base, ProbeKind.DIRECT)


def index(case: Case) -> Sample:
    """1 for each concept item that the index file gives out when it is asked for the item's own title."""
    world, items = case.world, case.concept.items
    rows = {item.id: row for row, item in enumerate(world.data.items)}
    there = np.arange(len(world.data.items))
    if case.arm.absent:
        there = np.setdiff1d(there, world.hidden(case.concept))
    queries = case.embed([item.title for item in items])
    nothing = np.zeros(0, np.int64)
    hits = ItemIndex.build(world.vectors[there]).search(queries, [nothing] * len(items), FIRST)
    values = [float(rows[item.id] in there[one.rows]) for item, one in zip(items, hits, strict=True)]
    return Sample(np.array(values), tuple(str(item.id) for item in items))


def _known(case: Case, model: LanguageModel, kind: ProbeKind) -> Sample:
    probes = case.subject.asked.of(kind)
    found = recall(model, probes)
    return Sample(found.exact.astype(np.float64), tuple(str(probe.item) for probe in probes))
