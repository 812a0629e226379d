"""What an evaluation of moved ids reads of a store, and its questions: each person's last item, which nothing saw."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from db.log import InteractionLog
from db.records import Item
from db.store import Store
from pipelines.generations import checked_folder
from pipelines.training.job import Progress
from pipelines.training.read import read as read_rows
from pipelines.training.read import text_index
from recsys.candidates import FloatArray
from recsys.heldout import HeldOut, last_out
from retrieval.text import TextIndex


@dataclass(frozen=True)
class Rows:
    """The rows that models are trained on, and what comes last in each history. `id` names exactly these rows."""

    epoch: int
    id: str
    items: tuple[Item, ...]
    vectors: FloatArray
    log: InteractionLog
    questions: HeldOut


def read(store: Store, progress: Progress) -> Rows:
    """Every visible history without its last item. People with fewer than two items are trained on, and not asked."""
    rows = visible(store)
    index = TextIndex.load(checked_folder(store.root, text_index(store, list(rows.items), progress)))
    return replace(rows, vectors=index.vectors(np.arange(len(rows.items))))


def visible(store: Store) -> Rows:
    """The same without vectors, which figures that were measured before do not need."""
    data = read_rows(store)
    log, questions = last_out(data.log)
    nothing = np.zeros((len(data.items), 0), dtype=np.float32)
    return Rows(data.epoch, digest(log, questions), tuple(data.items), nothing, log, questions)


def digest(log: InteractionLog, questions: HeldOut) -> str:
    """Of the pairs that are trained on and asked for, by outside ids: 64 hexadecimal digits."""
    found = hashlib.sha256("\x00".join((*log.users, "", *log.items)).encode())
    for column in (log.user, log.item, questions.people, np.concatenate(questions.relevant)):
        found.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return found.hexdigest()
