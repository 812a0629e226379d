"""Who asks to be forgotten, and how much: drawn once from training rows, by a seed of its own."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import SPLITS, InteractionLog
from db.records import Split
from recsys.candidates import IntArray

_TRAIN = SPLITS.index(Split.TRAIN)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What a protocol drew from one log: row numbers of training rows by request, in the order of asking.

    `people` are user rows who are forgotten whole: their validation and test rows go with them. `touched` lose some
    training rows and stay.
    """

    requests: tuple[IntArray, ...]
    people: IntArray
    touched: IntArray

    def forgotten(self, log: InteractionLog) -> InteractionLog:
        """The training rows that are forgotten."""
        return log.take(self._gone(log, len(self.requests)) & (log.split == _TRAIN))

    def survivors(self, log: InteractionLog, after: int | None = None) -> InteractionLog:
        """All rows that stay after the first `after` requests (None: after all of them)."""
        return log.take(~self._gone(log, len(self.requests) if after is None else after))

    def _gone(self, log: InteractionLog, after: int) -> NDArray[np.bool_]:
        gone = np.zeros(len(log), dtype=np.bool_)
        if after:
            rows = np.concatenate(self.requests[:after])
            gone[rows] = True
            gone |= np.isin(log.user, np.intersect1d(self.people, log.user[rows]))
        return gone


@dataclass(frozen=True, slots=True)
class ForgetProtocol:
    """A way of drawing what is forgotten; `draw` is its seed, whatever seeds the trainings have."""

    name: str
    whole_people: bool
    share: float = 0.0
    """Of the training rows, or of the people who have some."""
    count: int = 0
    """Of people, where no share is given."""
    one_by_one: bool = False
    """Each person is a request of their own, honoured before the next one arrives."""
    draw: int = 0

    def choose(self, log: InteractionLog) -> Forgetting:
        """Draw from the training rows of `log`. Raises LetheError where nobody would be left."""
        training = np.flatnonzero(log.split == _TRAIN)
        rng = np.random.default_rng(self.draw)
        if not self.whole_people:
            rows = np.sort(rng.choice(training, size=max(1, round(self.share * len(training))), replace=False))
            return Forgetting((rows,), np.zeros(0, np.int64), np.unique(log.user[rows]))
        known = np.unique(log.user[training])
        wanted = self.count or max(1, round(self.share * len(known)))
        if wanted >= len(known):
            raise LetheError(f"protocol {self.name} forgets {wanted} people of {len(known)}: nobody would be left")
        people = rng.choice(known, size=wanted, replace=False).astype(np.int64)
        each = tuple(training[log.user[training] == person] for person in people.tolist())
        requests = each if self.one_by_one else (np.concatenate(each),)
        return Forgetting(requests, people, np.zeros(0, np.int64))


_SHARES = {"users-1": 0.01, "users-5": 0.05}
_COUNTS = (1, 10, 100)

PROTOCOLS = {
    known.name: known
    for known in (
        ForgetProtocol("interactions-10", False, share=0.1),
        *(ForgetProtocol(name, True, share=share) for name, share in _SHARES.items()),
        *(ForgetProtocol(f"sequence-{n}", True, count=n, one_by_one=True) for n in _COUNTS),
        *(ForgetProtocol(f"together-{n}", True, count=n) for n in _COUNTS),
    )
}
"""By name: `sequence-n` honours n people one after another, `together-n` the same n people at once."""


def protocol(name: str, draw: int) -> ForgetProtocol:
    """The protocol of this name. Raises LetheError for an unknown one."""
    if name not in PROTOCOLS:
        raise LetheError(f"protocol {name!r} is unknown: choose one of {', '.join(PROTOCOLS)}")
    return replace(PROTOCOLS[name], draw=draw)
