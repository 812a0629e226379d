"""Requests of real people: several candidate lists for each, from training rows of a stored split alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from db.errors import LetheError
from db.records import Item, Split, UserId
from llm.tiny.titles import InventedTitles
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.split import Data
from recsys.candidates import Backbone, Candidates, IntArray
from recsys.ease import EaseFitter, EaseSettings
from retrieval.assemble import DEFAULT_LENGTH, assemble
from retrieval.context import Context
from retrieval.filters.controls import Recent


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked about, and how: EASE on training rows gives the candidates, the latest of the history is shown."""

    people: int = 20
    requests: int = 3
    """Lists for each person: every `requests`-th of the best candidates, beginning one place later each time."""
    candidates: int = 20
    """In each list."""
    length: int = DEFAULT_LENGTH
    """Of the history that is shown."""
    seed: int = 0
    """Of who is drawn."""
    unseen: bool = False
    """Whether all titles are replaced by invented ones, as in a catalogue that the model never met."""

    def __post_init__(self) -> None:
        if min(self.people, self.requests, self.length) < 1 or self.candidates < 2:
            raise LetheError(
                f"{self.people} users, {self.requests} requests, {self.candidates} candidates: "
                "give 1 or more, and 2 candidates at least"
            )


@dataclass(frozen=True, slots=True)
class Request:
    """One list that a person is to be recommended from. People are told by their place among those drawn."""

    person: int
    number: int
    context: Context
    backbone: tuple[float, ...] = ()
    """The backbone's score of each candidate, best first."""


def drawn(data: Data, how: Asking, guard: Guard, *, backbone: Backbone | None = None) -> tuple[Request, ...]:
    """The requests of people drawn among those with a history, every list full.

    Raises LetheError where there are fewer such people or items than were asked for, LeakError where the guard finds a
    held-out row in a history.
    """
    training = guard.training(data.log.only(Split.TRAIN))
    histories = training.histories()
    people = people_drawn(histories, how)
    shown = [histories[row] for row in people]
    model = backbone or EaseFitter(EaseSettings()).fit(training)
    found = model.candidates(shown, [np.unique(one) for one in shown], how.requests * how.candidates)
    items = _unseen(data.items, how.seed) if how.unseen else data.items
    lists = [_lists(one, how) for one in found]
    contexts = [
        [_context(row, history, one, items, how) for one in own]
        for row, history, own in zip(people.tolist(), shown, lists, strict=True)
    ]
    for number in range(how.requests):
        guard.prompts(people, [own[number] for own in contexts])
    return tuple(
        Request(place, n, one, tuple(lists[place][n].scores.tolist()))
        for place, own in enumerate(contexts)
        for n, one in enumerate(own)
    )


def people_drawn(histories: Sequence[IntArray], how: Asking) -> IntArray:
    """Rows of who is asked about, in the order drawn, among those with a history. Raises LetheError for too few."""
    warm = np.array([row for row, history in enumerate(histories) if len(history)], dtype=np.int64)
    if len(warm) < how.people:
        raise LetheError(f"{how.people} users were asked for, {len(warm)} have a history: give --users {len(warm)}")
    return np.random.default_rng([how.seed, 33]).permutation(warm)[: how.people]


def _lists(found: Candidates, how: Asking) -> list[Candidates]:
    """Lists of like quality, each in the retrieval's order."""
    if len(found) < how.requests * how.candidates:
        raise LetheError(
            f"{how.requests} lists of {how.candidates} were asked for, a person has {len(found)} candidates: "
            "give fewer --requests or --candidates"
        )
    parts = (slice(number, None, how.requests) for number in range(how.requests))
    return [Candidates(found.rows[part], found.scores[part], found.origin[part]) for part in parts]


def _context(row: int, history: IntArray, found: Candidates, items: Sequence[Item], how: Asking) -> Context:
    return assemble(UserId(str(row)), history, found, items, Recent(), length=how.length, seed=how.seed)


def _unseen(items: Sequence[Item], seed: int) -> tuple[Item, ...]:
    """The same years and genres under titles that no item has and no training has met."""
    invented, rng = InventedTitles(items), np.random.default_rng([seed, 34])
    return tuple(replace(item, title=invented.draw(rng, evaluation=True)) for item in items)
