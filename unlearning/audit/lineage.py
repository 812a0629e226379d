"""Checks that no artefact on disk descends from rows that a request hid."""

from collections.abc import Callable, Sequence

from db import artifacts
from db.artifacts import Artifact
from db.records import ForgetRequest, Scope, UserId, Verdict
from db.store import Store, Unit
from unlearning.data.partition import HashPartition


def verdict(store: Store, requests: Sequence[ForgetRequest]) -> Verdict:
    """The audit "lineage": artefacts built before the newest request, and folders that no row of the store knows.

    A shard may be older than a request whose rows lay in others. Where the person is still known, its membership rule
    is asked again, whatever was recorded of the shard; the control is then found only if that sees a planted one too.
    """
    newest = max(request.epoch for request in requests)
    known = [(request.user, request.epoch) for request in requests if request.user is not None]
    with store.reading() as unit:
        old = {a.id: a for a in artifacts.descending(unit, newest)}
        old |= {a.id: a for user, epoch in known for a in holding(unit, user, epoch)}
        unknown = artifacts.unregistered(unit)
    present = [f"{a.kind}/{a.name} generation {a.generation}" for a in old.values()]
    present += [str(path.name) for path in unknown]
    found = control(store, newest) and all(shard_control(store, user, epoch) for user, epoch in known[:1])
    return Verdict(
        "lineage",
        float(len(present)),
        0.0,
        control=float(found),
        control_found=found,
        detail="; ".join(present) or _clean(store, newest),
    )


def holding(unit: Unit, user: UserId, epoch: int) -> list[Artifact]:
    """Shards on disk that were built before `epoch` and in which their rule puts this person."""
    shards = [a for a in artifacts.all_on_disk(unit) if a.scope is Scope.SHARD and a.data_epoch < epoch]
    return [a for a in shards if _rule(a).shard_of_user(user) == a.settings["shard"]]


def control(store: Store, epoch: int) -> bool:
    """Whether an artefact registered one epoch too early is seen; the registration is rolled back."""
    origin = artifacts.Origin(epoch - 1, Scope.ALL)
    return _seen(store, lambda unit: artifacts.descending(unit, epoch), origin)


def shard_control(store: Store, user: UserId, epoch: int) -> bool:
    """Whether a shard of this person is seen that is one epoch too early and was recorded to hold nothing of it."""
    rule = {"shards": 3, "salt": "control"}
    facts = {"shard": HashPartition(3, "control").shard_of_user(user), "rule": rule, artifacts.CLEAR_TO: epoch}
    origin = artifacts.Origin(epoch - 1, Scope.SHARD, settings=facts)
    return _seen(store, lambda unit: holding(unit, user, epoch), origin)


def _seen(store: Store, look: Callable[[Unit], Sequence[Artifact]], origin: artifacts.Origin) -> bool:
    with store.writing() as unit:
        before, kind = len(look(unit)), "backbone" if origin.scope is Scope.ALL else "shard"
        artifacts.register(unit, kind, "control", 1, path="artifacts/control", sha256="", origin=origin)
        return len(look(unit)) == before + 1


def _rule(shard: Artifact) -> HashPartition:
    return HashPartition(int(shard.settings["rule"]["shards"]), str(shard.settings["rule"]["salt"]))


def _clean(store: Store, epoch: int) -> str:
    with store.reading() as unit:
        kept = [a for a in artifacts.all_on_disk(unit) if a.scope is Scope.SHARD and a.data_epoch < epoch]
    older = f"; {len(kept)} older shards hold none of the rows by their rule" if kept else ""
    return f"no artefact is older than data epoch {epoch}{older}"
