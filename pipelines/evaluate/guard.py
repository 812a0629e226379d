"""Anti-joins: every stage passes the rows that it is about to read through here, and a leak stops the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Split
from pipelines.evaluate.split import Data, ResplitError
from recsys.candidates import IntArray
from recsys.heldout import HeldOut
from retrieval.context import Context


class LeakError(LetheError):
    """A stage was given rows that it must not see. The row is told by its number, never by a person's id."""


class Stage(StrEnum):
    """What reads rows."""

    TRAINING = "training"
    RETRAINING = "training after forgetting"
    HISTORY = "histories"
    PROMPT = "prompts"
    TUNING = "tuning on validation rows"
    FILTER = "filter tuning"
    ADAPTER = "adapter data"


FORGOTTEN = "forgotten"

_HELD_OUT = (Split.VALID.value, Split.TEST.value)

FORBIDDEN: dict[Stage, tuple[str, ...]] = {
    Stage.TRAINING: _HELD_OUT,
    Stage.RETRAINING: _HELD_OUT,
    Stage.HISTORY: _HELD_OUT,
    Stage.PROMPT: _HELD_OUT,
    Stage.TUNING: (Split.TEST.value,),
    Stage.FILTER: (Split.TEST.value,),
    Stage.ADAPTER: _HELD_OUT,
}
"""The kinds of rows that each stage must not see. After forgetting, forgotten rows are forbidden to all of them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """(person, item) rows of one stage, under the split they were taken by."""

    split: str
    user: IntArray
    item: IntArray

    @classmethod
    def of_log(cls, split: str, log: InteractionLog) -> "Rows":
        """The rows of a log."""
        return cls(split, log.user, log.item)

    @classmethod
    def of_lists(cls, split: str, people: Iterable[int], lists: Sequence[IntArray]) -> "Rows":
        """One list of item rows for each person."""
        counts = [len(one) for one in lists]
        user = np.repeat(np.fromiter(people, dtype=np.int64, count=len(lists)), counts)
        return cls(split, user, np.concatenate([np.zeros(0, np.int64), *lists]))


class Guard:
    """Knows which pairs of a split are held out, and which were forgotten."""

    def __init__(self, data: Data) -> None:
        self.split = data.split.id
        self._items = {item: row for row, item in enumerate(data.log.items)}
        self._closed = {part: self._keys(data.log.only(Split(part))) for part in _HELD_OUT}

    def forgetting(self, forgotten: InteractionLog) -> "Guard":
        """The same with the rows of `forgotten` forbidden to every stage."""
        after = object.__new__(Guard)
        after.split, after._items = self.split, self._items
        after._closed = {**self._closed, FORGOTTEN: self._keys(forgotten)}
        return after

    def check(self, stage: Stage, rows: Rows) -> None:
        """Raises LeakError naming the stage and the first leaked pair, ResplitError for rows of another split."""
        if rows.split != self.split:
            raise ResplitError(f"{stage} carries split {rows.split}, this evaluation is {self.split}")
        keys = rows.user * len(self._items) + rows.item
        for kind in (*FORBIDDEN[stage], FORGOTTEN):
            leaked = np.flatnonzero(np.isin(keys, self._closed.get(kind, keys[:0])))
            if len(leaked):
                raise LeakError(
                    f"{stage}: row {leaked[0]} of {len(keys)} is a {kind} row of split {self.split} "
                    f"({len(leaked)} such rows); this stage must not see it"
                )

    def training(self, log: InteractionLog, stage: Stage = Stage.TRAINING) -> InteractionLog:
        """The log that a model is about to be fitted on."""
        self.check(stage, Rows.of_log(self.split, log))
        return log

    def questions(self, asked: HeldOut) -> HeldOut:
        """Questions whose histories a model is about to read; their answers are for the metrics alone."""
        self.check(Stage.HISTORY, Rows.of_lists(self.split, asked.people.tolist(), asked.histories))
        return asked

    def tuning(self, asked: HeldOut, stage: Stage = Stage.TUNING) -> HeldOut:
        """Questions that settings are about to be chosen by: histories and answers."""
        for lists in (asked.histories, asked.relevant):
            self.check(stage, Rows.of_lists(self.split, asked.people.tolist(), lists))
        return asked

    def prompts(self, people: IntArray, contexts: Sequence[Context]) -> Sequence[Context]:
        """Prompts of people, as they are about to be scored."""
        shown = [np.array([self._items[item.id] for item in one.history], dtype=np.int64) for one in contexts]
        self.check(Stage.PROMPT, Rows.of_lists(self.split, people.tolist(), shown))
        return contexts

    def _keys(self, log: InteractionLog) -> NDArray[np.int64]:
        return np.unique(log.user * len(self._items) + log.item)
