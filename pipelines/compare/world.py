"""Real people and the search that serves them, as each arm leaves it: the same people under every arm."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Split, UserId
from pipelines.compare.arms import NONE, Arm
from pipelines.compare.spec import Scope
from pipelines.evaluate.guard import Guard, Stage
from pipelines.evaluate.methods import Fitting
from pipelines.evaluate.settings import seed_of
from pipelines.evaluate.split import Data
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.heldout import held_out
from recsys.popularity import PopularityFitter
from retrieval.assemble import DEFAULT_LENGTH, assemble
from retrieval.context import Context
from retrieval.filters.controls import Recent
from retrieval.index import ItemIndex
from retrieval.quota import places
from retrieval.retrieve import Retriever, hide
from retrieval.text import TextIndex
from unlearning.concept.base import Concept

Bools = NDArray[np.bool_]

TOP = 10
"""Places of a list that are looked at."""


@dataclass(frozen=True, slots=True)
class Lists:
    """How lists are made, the same under every arm."""

    people: int = 40
    """Drawn among those whose first `TOP` candidates hold the concept, then whose others do, then among the rest."""
    candidates: int = 50
    length: int = DEFAULT_LENGTH
    """Of the history that is shown."""
    quota: float = 0.1
    """Places of text neighbours among the candidates, as a share."""
    weight: float = 0.3
    """The model's share in the fused list."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Crowd:
    """People by user row; who asks for themselves, and what each wanted later that is no part of the concept."""

    rows: IntArray
    asks: Bools
    relevant: tuple[IntArray, ...]

    def concerned(self, scope: Scope) -> Bools:
        """Who is to be served without the concept."""
        return np.ones(len(self.rows), dtype=np.bool_) if scope is Scope.EVERYBODY else self.asks


@dataclass(frozen=True, slots=True)
class Found:
    """What the search brings each person of a crowd, and the prompt made of it."""

    candidates: tuple[Candidates, ...]
    contexts: tuple[Context, ...]


@dataclass(slots=True)
class World:
    """One split, one backbone, one text index; what several arms or surfaces need is made once."""

    data: Data
    how: Lists
    fitting: Fitting
    vectors: FloatArray
    """Centred unit vectors of the items' texts, in row order."""
    retrievers: dict[tuple[str, int], Retriever] = field(default_factory=dict)
    crowds: dict[str, Crowd] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Over the split, the items' texts, the backbone and how lists are made."""
        texts = [asdict(item) for item in self.data.items]
        told = [self.data.split.id, texts, asdict(self.how), self.fitting.backbone, dict(self.fitting.settings)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def hidden(self, concept: Concept) -> IntArray:
        """The concept's item rows."""
        return np.flatnonzero([item.id in concept.ids for item in self.data.items]).astype(np.int64)

    def crowd(self, concept: Concept) -> Crowd:
        """The people of a concept. Raises LetheError where fewer than two can be asked about."""
        if concept.name not in self.crowds:
            self.crowds[concept.name] = self._drawn(concept)
        return self.crowds[concept.name]

    def found(self, concept: Concept, arm: Arm, scope: Scope, *, seed: int) -> Found:
        """Candidates and prompts of a concept's people under an arm."""
        histories, closed = self.visible(concept, arm, scope)
        log = self._log(concept, arm, scope)
        retriever = self._retriever(log, f"{concept.name}/{scope}" if arm.erases else "", seed)
        found = retriever.candidates(histories, closed, self.how.candidates)
        return Found(tuple(found), self._contexts(self.crowd(concept), histories, found))

    def visible(self, concept: Concept, arm: Arm, scope: Scope) -> tuple[list[IntArray], list[IntArray]]:
        """What each of a concept's people is known by under an arm, and what is not offered to them."""
        crowd, hidden = self.crowd(concept), self.hidden(concept)
        log = self._log(concept, arm, scope)
        concerned = crowd.concerned(scope) & arm.hides
        seen, known = (log.only(*parts).histories() for parts in ((Split.TRAIN,), (Split.TRAIN, Split.VALID)))
        histories = [
            hide(seen[row], hidden) if own else seen[row] for row, own in zip(crowd.rows, concerned, strict=True)
        ]
        closed = [
            np.union1d(known[row], hidden) if own else np.unique(known[row])
            for row, own in zip(crowd.rows, concerned, strict=True)
        ]
        return histories, closed

    def twice(self, concept: Concept, arm: Arm, scope: Scope) -> list[IntArray]:
        """The text neighbours that the search brings each person where the catalogue holds every concept item twice.

        The second one has the same text and an id of its own: a row behind the last item's.
        """
        histories, closed = self.visible(concept, arm, scope)
        vectors = np.concatenate([self.vectors, self.vectors[self.hidden(concept)]])
        queries = np.stack([self.vectors[rows].mean(axis=0) for rows in histories])
        hits = ItemIndex.build(vectors).search(queries, closed, max(1, places(self.how.quota, self.how.candidates)))
        return [one.rows for one in hits]

    def _contexts(
        self, crowd: Crowd, histories: Sequence[IntArray], found: Sequence[Candidates]
    ) -> tuple[Context, ...]:
        made = [
            assemble(UserId(str(place)), history, one, self.data.items, Recent(), length=self.how.length)
            for place, (history, one) in enumerate(zip(histories, found, strict=True))
        ]
        return tuple(Guard(self.data).prompts(crowd.rows, made))

    def _log(self, concept: Concept, arm: Arm, scope: Scope) -> InteractionLog:
        """The rows as an arm leaves them: of everybody, or of those who ask, without the concept's items."""
        log = self.data.log
        if not arm.erases:
            return log
        gone = np.isin(log.item, self.hidden(concept))
        if scope is Scope.PERSON:
            crowd = self.crowd(concept)
            gone &= np.isin(log.user, crowd.rows[crowd.asks])
        return log.take(~gone)

    def _retriever(self, log: InteractionLog, erased: str, seed: int) -> Retriever:
        key = (erased, seed)
        if key not in self.retrievers:
            training = Guard(self.data).training(log.only(Split.TRAIN), Stage.RETRAINING if erased else Stage.TRAINING)
            backbone = self.fitting.fit(training, seed=seed_of("compare", erased, seed))
            text = TextIndex(log.items, ItemIndex.build(self.vectors))
            popularity = PopularityFitter().fit(training)
            self.retrievers[key] = Retriever(backbone, text, popularity, self.how.quota)
        return self.retrievers[key]

    def _drawn(self, concept: Concept) -> Crowd:
        hidden, log = self.hidden(concept), self.data.log
        asked = held_out(log, Split.TEST)
        relevant = [np.setdiff1d(rows, hidden) for rows in asked.relevant]
        able = np.array(
            [len(hide(h, hidden)) > 0 and len(r) > 0 for h, r in zip(asked.histories, relevant, strict=True)],
            dtype=np.bool_,
        )
        asked = replace(asked, relevant=relevant).take(able)
        if len(asked.people) < 2:
            raise LetheError(f"{len(asked.people)} people have met and want something beside {concept.name!r}")
        found = self._retriever(log, "", 0).candidates(asked.histories, asked.exclude, self.how.candidates)
        offered = np.array([[np.isin(one.rows[:most], hidden).any() for most in (TOP, None)] for one in found])
        order = np.random.default_rng([self.how.seed, 41]).permutation(len(offered))
        chosen = order[np.argsort(-offered[order].sum(axis=1), kind="stable")][: self.how.people]
        people, asks = asked.people[chosen], np.arange(len(chosen)) % 2 == 0
        return Crowd(people, asks, tuple(asked.relevant[place] for place in chosen.tolist()))


PLAIN = Arm(NONE)
