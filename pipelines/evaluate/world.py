"""One protocol's draw, worked out once: the rows before and after, and the questions that people are asked."""

from dataclasses import dataclass

import numpy as np

from db.log import InteractionLog
from db.records import Split
from pipelines.evaluate.audience import Audience, audience
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.protocols import ForgetProtocol, Forgetting
from pipelines.evaluate.split import Data
from recsys.candidates import IntArray
from recsys.heldout import HeldOut, held_out
from recsys.popularity import Popularity, PopularityFitter


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions, with the popularity that serves those without a history."""

    questions: HeldOut
    floor: Popularity


@dataclass(frozen=True, slots=True)
class World:
    """What is the same for every method under one protocol.

    `before`: everybody as nobody had asked. `after`: people who stay, as the system sees them then. `gone`: people who
    are forgotten whole; they have no history any more, and are asked about their old test rows. `returned`: everybody
    who lost rows, with the old history given back.
    """

    data: Data
    forgetting: Forgetting
    guard: Guard
    guard_after: Guard
    training: InteractionLog
    audience: Audience
    before: Asked
    after: Asked
    gone: Asked
    returned: Asked

    @property
    def staying(self) -> Asked:
        """People who stay, as the system saw them before."""
        asked = self.before.questions
        return Asked(asked.take(np.isin(asked.people, self.after.questions.people)), self.before.floor)

    def training_after(self, requests: int) -> InteractionLog:
        """Training rows that stay after so many requests."""
        return self.forgetting.survivors(self.data.log, requests).only(Split.TRAIN)

    def guard_of(self, requests: int) -> Guard:
        """The guard after so many requests."""
        partial = Forgetting(self.forgetting.requests[:requests], self.forgetting.people, self.forgetting.touched)
        return self.guard.forgetting(partial.forgotten(self.data.log))


def draw(data: Data, protocol: ForgetProtocol) -> World:
    """Draw what is forgotten and check every history that will be read."""
    log, guard = data.log, Guard(data)
    forgetting = protocol.choose(log)
    lost, kept = forgetting.forgotten(log), forgetting.survivors(log)
    guard_after = guard.forgetting(lost)
    training = guard.training(log.only(Split.TRAIN))
    floor = PopularityFitter().fit(training)
    floor_after = PopularityFitter().fit(kept.only(Split.TRAIN))
    before = guard.questions(held_out(log, Split.TEST))
    moved = np.isin(before.people, np.union1d(forgetting.touched, forgetting.people))
    return World(
        data=data,
        forgetting=forgetting,
        guard=guard,
        guard_after=guard_after,
        training=training,
        audience=audience(training, forgetting, lost, seed=protocol.draw),
        before=Asked(before, floor),
        after=Asked(guard_after.questions(held_out(kept, Split.TEST)), floor_after),
        gone=Asked(_bare(before.take(np.isin(before.people, forgetting.people))), floor_after),
        returned=Asked(before.take(moved), floor_after),
    )


def _bare(asked: HeldOut) -> HeldOut:
    nothing: list[IntArray] = [np.zeros(0, np.int64) for _ in asked.relevant]
    return HeldOut(asked.people, nothing, nothing, asked.relevant)
