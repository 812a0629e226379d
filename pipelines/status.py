"""Where every request stands, and whether one is past its deadline."""

from dataclasses import dataclass
from datetime import datetime

from db import artifacts, catalogue, concepts, requests
from db.records import ConceptRequest, ForgetRequest
from db.store import Store, Unit
from pipelines import certificate


@dataclass(frozen=True, slots=True)
class Standing:
    """A request, the steps it still has to pass, whether it is late, and what holds of it now."""

    request: ForgetRequest
    steps: tuple[str, ...]
    overdue: bool
    grade: str
    """Of the certificate that the request would get now."""
    methods: tuple[str, ...] = ()
    """Of a reduced request: the approximate methods that worked on the backbones."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole store at one moment."""

    epoch: int
    counts: dict[str, int]
    standings: tuple[Standing, ...]
    artefacts: tuple[artifacts.Artifact, ...]
    concepts: tuple[ConceptRequest, ...] = ()

    @property
    def overdue(self) -> bool:
        """Whether any open request is past its deadline."""
        return any(standing.overdue for standing in self.standings)


def status(store: Store, *, now: datetime) -> Status:
    """Read everything `lethe status` shows, in one consistent read."""
    with store.reading() as unit:
        open_ones = {request.id for request in requests.pending(unit)}
        standings = tuple(_standing(unit, r, r.id in open_ones and now > r.deadline) for r in requests.every(unit))
        on_disk, forgotten = tuple(artifacts.all_on_disk(unit)), tuple(concepts.every(unit))
        return Status(catalogue.epoch(unit), catalogue.counts(unit), standings, on_disk, forgotten)


def _standing(unit: Unit, request: ForgetRequest, overdue: bool) -> Standing:
    steps = tuple(requests.steps_open(unit, request.id))
    used = [r.action for r in requests.receipts_of(unit, request.id) if not r.exact and r.artifact[:9] == "backbone/"]
    methods = tuple(dict.fromkeys(used)) if request.reduced else ()
    return Standing(request, steps, overdue, certificate.GRADES[request.state], methods)
