"""Checks that no artefact on disk descends from rows that a request hid."""

from collections.abc import Sequence

from db import artifacts
from db.records import ForgetRequest, Scope, Verdict
from db.store import Store, Unit


def verdict(store: Store, requests: Sequence[ForgetRequest]) -> Verdict:
    """The audit "lineage": artefacts built before the newest request, and folders that no row of the store knows."""
    newest = max(request.epoch for request in requests)
    with store.reading() as unit:
        old = artifacts.descending(unit, newest)
        unknown = artifacts.unregistered(unit)
    present = [f"{a.kind}/{a.name} generation {a.generation}" for a in old] + [str(path.name) for path in unknown]
    found = control(store, newest)
    return Verdict(
        "lineage",
        float(len(present)),
        0.0,
        control=float(found),
        control_found=found,
        detail="; ".join(present) or f"no artefact is older than data epoch {newest}",
    )


def control(store: Store, epoch: int) -> bool:
    """Whether an artefact registered one epoch too early is seen; the registration is rolled back."""
    with store.writing() as unit:
        before = len(artifacts.descending(unit, epoch))
        _register_old(unit, epoch)
        return len(artifacts.descending(unit, epoch)) == before + 1


def _register_old(unit: Unit, epoch: int) -> None:
    origin = artifacts.Origin(epoch - 1, Scope.ALL)
    artifacts.register(unit, "backbone", "control", 1, path="artifacts/control", sha256="", origin=origin)
