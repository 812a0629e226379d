"""Everything that the page tells of the store itself, from one consistent read: requests, audits, artefacts, ledger."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from db import artifacts, catalogue, ledger, requests
from db.artifacts import Artifact
from db.records import ConceptRequest, Receipt, State, Verdict
from db.store import Store, Unit
from pipelines import certificate
from pipelines.status import Standing, status


@dataclass(frozen=True, slots=True)
class Erase:
    """One person's request with all that shows what became of it; no id of the person."""

    standing: Standing
    commitment: str | None
    receipts: tuple[Receipt, ...]
    verdicts: tuple[Verdict, ...]
    certificate: Mapping[str, Any] | None
    """The root's own copy, which names nobody."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.standing.request.state is State.ERASED

    @property
    def erased_at(self) -> datetime | None:
        """As the certificate tells it."""
        at = self.certificate and self.certificate.get("erased_at")
        return datetime.fromisoformat(at) if at else None


@dataclass(frozen=True, slots=True)
class StoreState:
    """The store at one moment."""

    epoch: int
    counts: Mapping[str, int]
    erases: tuple[Erase, ...]
    concepts: tuple[ConceptRequest, ...]
    artefacts: tuple[Artifact, ...]
    """On disk, measurements left out."""
    trained: tuple[Artifact, ...]
    """Every backbone, shard and adapter there ever was, destroyed ones too."""
    parents: Mapping[int, Sequence[int]]
    chain: str
    """What became of the check of the whole ledger."""
    whole: bool
    """Whether every entry of the ledger fits."""
    sources: tuple[Mapping[str, Any], ...]
    splits: Mapping[str, catalogue.SplitRecipe]


def look(store: Store, now: datetime) -> StoreState:
    """Read the store and check its ledger from the first entry to the last."""
    found = status(store, now=now)
    with store.reading() as unit:
        chain, whole = _chain(unit)
        kept = tuple(a for a in found.artefacts if a.kind != "evaluation")
        return StoreState(
            epoch=found.epoch,
            counts=found.counts,
            erases=tuple(_erase(unit, standing) for standing in found.standings),
            concepts=found.concepts,
            artefacts=kept,
            trained=tuple(a for kind in ("backbone", "shard", "adapter") for a in artifacts.every(unit, kind)),
            parents={a.id: artifacts.parents(unit, a.id) for a in kept},
            chain=chain,
            whole=whole,
            sources=tuple(catalogue.read_sources(unit)),
            splits=catalogue.split_recipes(unit),
        )


def _erase(unit: Unit, standing: Standing) -> Erase:
    request = standing.request
    return Erase(
        standing,
        certificate.commitment_of(unit, request),
        tuple(requests.receipts_of(unit, request.id)),
        tuple(requests.verdicts_of(unit, request.id)),
        _certificate(certificate.kept_path(unit.root, request.id)),
    )


def _certificate(path: Path) -> Mapping[str, Any] | None:
    """The copy in the root, without what names a subject; None where it is missing or unreadable."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return certificate.without_subject(found) if isinstance(found, dict) else None


def _chain(unit: Unit) -> tuple[str, bool]:
    try:
        entries = ledger.verify(unit)
        told = "1 entry" if entries == 1 else f"{entries} entries, every hash fits the one before"
        return f"verified: {told}", True
    except ledger.LedgerError as error:
        return str(error), False
