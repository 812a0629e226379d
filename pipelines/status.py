"""Where every request stands, and whether one is past its deadline."""

from dataclasses import dataclass
from datetime import datetime

from db import artifacts, catalogue, requests
from db.records import ForgetRequest
from db.store import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """A request, the steps it still has to pass, and whether it is late."""

    request: ForgetRequest
    steps: tuple[str, ...]
    overdue: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The whole store at one moment."""

    epoch: int
    counts: dict[str, int]
    standings: tuple[Standing, ...]
    artefacts: tuple[artifacts.Artifact, ...]

    @property
    def overdue(self) -> bool:
        """Whether any open request is past its deadline."""
        return any(standing.overdue for standing in self.standings)


def status(store: Store, *, now: datetime) -> Status:
    """Read everything `lethe status` shows, in one consistent read."""
    with store.reading() as unit:
        open_ones = {request.id for request in requests.pending(unit)}
        standings = tuple(
            Standing(r, tuple(requests.steps_open(unit, r.id)), r.id in open_ones and now > r.deadline)
            for r in requests.every(unit)
        )
        return Status(catalogue.epoch(unit), catalogue.counts(unit), standings, tuple(artifacts.all_on_disk(unit)))
