"""What every stage of a training shares: its data, its plan, and how it drafts generations."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from db.artifacts import Origin
from db.errors import LetheError, NotFinishedError
from db.log import InteractionLog
from db.records import Item, Scope
from db.store import Store
from pipelines.config import Plan
from pipelines.generations import Draft, draft
from recsys.candidates import FloatArray
from retrieval.text import TextIndex

Bar = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[Bar]]
"""Opens a progress bar under a label."""


class NothingToTrainError(LetheError):
    """The visible rows do not make a model: there are none, or nobody has some in both splits."""


class RowsChangedError(NotFinishedError):
    """A backbone that was made beforehand no longer fits the visible rows."""


@dataclass(frozen=True, slots=True)
class Data:
    """What one training reads, at one data epoch."""

    epoch: int
    log: InteractionLog
    items: list[Item]
    split: str
    """Hash of the recorded random split."""


@dataclass(frozen=True, slots=True)
class Training:
    """What every stage of one training shares."""

    store: Store
    plan: Plan
    data: Data
    text: TextIndex
    progress: Progress
    seed: int = 0
    """Of this generation: no other has it."""

    def origin(self, **facts: Any) -> Origin:
        """Of an artefact that descends from all visible rows."""
        return Origin(self.data.epoch, Scope.ALL, **facts)

    def draft(self, kind: str, write: Callable[[Path], object], **facts: Any) -> Draft:
        """A generation of this set."""
        return draft(self.store, kind, self.plan.backbone, write, self.origin(**facts))

    def draft_file(self, kind: str, name: str, save: Callable[[Path], object], **facts: Any) -> Draft:
        """The same where the generation is one file."""
        return self.draft(kind, lambda folder: save(folder / name), **facts)

    def vectors(self) -> FloatArray:
        """Text vectors of the whole catalogue."""
        return self.text.vectors(np.arange(len(self.text.items)))


def quiet(_label: str) -> AbstractContextManager[Bar]:
    """No progress bar."""
    return nullcontext(lambda done, total: None)
