"""What an evaluation of moved ids reads of a store, and its questions: each person's last item, which nothing saw."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Item
from db.store import Store
from pipelines.generations import checked_folder
from pipelines.training.job import Progress
from pipelines.training.read import read as read_rows
from pipelines.training.read import text_index
from recsys.candidates import FloatArray, IntArray
from recsys.heldout import HeldOut
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


def last_out(log: InteractionLog) -> tuple[InteractionLog, HeldOut]:
    """The log without each person's last row, and that row as the question. Raises LetheError where nobody has two.

    An item met before, too, is no question: the row stays held out, and the person is not asked.
    """
    order = np.argsort(log.user, kind="stable")
    bounds = np.searchsorted(log.user[order], np.arange(len(log.users) + 1))
    kept = np.ones(len(log), dtype=np.bool_)
    people: list[int] = []
    histories: list[IntArray] = []
    relevant: list[IntArray] = []
    for person, (first, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        rows = order[first:end]
        if len(rows) < 2:
            continue
        kept[rows[-1]] = False
        history, last = log.item[rows[:-1]], log.item[rows[-1:]]
        if last[0] not in history:
            people.append(person)
            histories.append(history)
            relevant.append(last)
    if not people:
        raise LetheError("nobody has two items: there is no last one to ask for; ingest more interactions")
    excluded = [np.unique(history) for history in histories]
    return log.take(kept), HeldOut(np.array(people, dtype=np.int64), histories, excluded, relevant)


def digest(log: InteractionLog, questions: HeldOut) -> str:
    """Of the pairs that are trained on and asked for, by outside ids: 64 hexadecimal digits."""
    found = hashlib.sha256("\x00".join((*log.users, "", *log.items)).encode())
    for column in (log.user, log.item, questions.people, np.concatenate(questions.relevant)):
        found.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return found.hexdigest()
