"""Lists of real people, with a concept forgotten in the model: how other items fare, by the model alone and fused."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from db.records import ItemId, Split, UserId
from llm.rerank import rerank
from llm.score.base import Scores
from llm.score.packed import PackedScorer
from pipelines.evaluate.split import Data
from pipelines.evaluate_concepts.cells import Measured, frame
from pipelines.evaluate_concepts.measures import Case
from recsys.candidates import Backbone, Candidates, IntArray
from recsys.ease import EaseFitter, EaseSettings
from recsys.heldout import HeldOut, held_out
from recsys.metrics import evaluate
from retrieval.assemble import assemble
from retrieval.context import Context
from retrieval.filters.controls import Recent
from unlearning.concept.base import Progress
from unlearning.concept.cells import Sample

CUTOFF = 10
ALONE, FUSED = "NDCG@10, the model alone", "NDCG@10, fused"


@dataclass(frozen=True, slots=True)
class Lists:
    """How lists are made: EASE on training rows gives the candidates, test rows say what was wanted."""

    people: int = 100
    """Drawn among those with a history and a wanted item outside the concept."""
    weight: float = 0.3
    """The model's share in the fused list."""
    candidates: int = 50
    length: int = 20
    chunk: int = 16
    seed: int = 2020


@dataclass(slots=True)
class RealPeople:
    """Orders the same candidates of the same people under every forgetting; a concept's items are left out."""

    data: Data
    how: Lists
    backbone: Backbone | None = None
    asked: dict[str, tuple[HeldOut, list[Candidates], list[Context]]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Over the split and how lists are made."""
        return hashlib.sha256(json.dumps([self.data.split.id, asdict(self.how)]).encode()).hexdigest()

    def __call__(self, case: Case, progress: Progress) -> Measured:
        """One row a person and weight."""
        questions, found, contexts = self._questions(case)
        with case.forgetting.applied(case.base) as changed:
            scorer, said = PackedScorer(changed), list[Scores]()
            for start in range(0, len(contexts), self.how.chunk):
                said += scorer.score(contexts[start : start + self.how.chunk])
                progress(len(said), len(contexts))
        people = tuple(str(place) for place in range(len(contexts)))
        samples = {}
        for name, weight in ((ALONE, 1.0), (FUSED, self.how.weight)):
            ranked = rerank(contexts, [one.scores for one in found], _Said(said), weight)
            rows = [self._rows(contexts, found, place, one.items) for place, one in enumerate(ranked)]
            samples[name] = Sample(evaluate(rows, questions.relevant, CUTOFF).ndcg, people)
        unusable = sum(not one.usable for one in said)
        return Measured(frame(samples, {}), {"people": len(people), "unusable": unusable})

    def _rows(
        self, contexts: Sequence[Context], found: Sequence[Candidates], place: int, items: Sequence[ItemId]
    ) -> IntArray:
        known = {item.id: row for item, row in zip(contexts[place].candidates, found[place].rows, strict=True)}
        return np.array([known[item] for item in items], dtype=np.int64)

    def _questions(self, case: Case) -> tuple[HeldOut, list[Candidates], list[Context]]:
        """People, their candidates and prompts without the concept's items; made once for each concept."""
        concept = case.subject.concept
        if concept.name not in self.asked:
            ids = concept.ids
            hidden = np.array([row for row, item in enumerate(self.data.items) if item.id in ids], dtype=np.int64)
            asked = self._drawn(_without(held_out(self.data.log, Split.TEST), hidden))
            found = self._backbone().candidates(asked.histories, asked.exclude, self.how.candidates)
            self.asked[concept.name] = (asked, list(found), self._contexts(asked, found))
        return self.asked[concept.name]

    def _backbone(self) -> Backbone:
        if self.backbone is None:
            self.backbone = EaseFitter(EaseSettings()).fit(self.data.log.only(Split.TRAIN))
        return self.backbone

    def _contexts(self, asked: HeldOut, found: Sequence[Candidates]) -> list[Context]:
        each = zip(asked.people.tolist(), asked.histories, found, strict=True)
        return [
            assemble(UserId(str(row)), history, one, self.data.items, Recent(), length=self.how.length)
            for row, history, one in each
        ]

    def _drawn(self, asked: HeldOut) -> HeldOut:
        order = np.random.default_rng(self.how.seed).permutation(len(asked.people))[: self.how.people]
        return asked.take(np.isin(np.arange(len(asked.people)), order))


def _without(asked: HeldOut, hidden: IntArray) -> HeldOut:
    """The warm who want something outside `hidden`; what is hidden is neither offered nor wanted nor shown."""
    relevant, exclude, histories = (
        [np.setdiff1d(rows, hidden) for rows in asked.relevant],
        [np.union1d(rows, hidden) for rows in asked.exclude],
        [rows[~np.isin(rows, hidden)] for rows in asked.histories],
    )
    able = np.array([bool(len(r) and len(h)) for r, h in zip(relevant, histories, strict=True)], dtype=np.bool_)
    return HeldOut(asked.people, histories, exclude, relevant).take(able)


class _Said:
    """A scorer that has been asked already."""

    name = "said"

    def __init__(self, scores: Sequence[Scores]) -> None:
        self._scores = scores

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """What was said of these contexts, all of which have a history."""
        if len(contexts) != len(self._scores):
            raise ValueError(f"{len(self._scores)} opinions on {len(contexts)} lists")
        return list(self._scores)
