"""What is on disk: kind, generation, hash, the data epoch it was built from, its parents and its scope."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, and_, func, select, update

from db.erasure import KINDS
from db.files import destroy
from db.records import Mode, Scope
from db.schema import artifact_parents, artifacts, concept_requests, users
from db.store import Unit

CLEAR_TO = "clear_to"
"""In the settings of a shard: the data epoch up to which every request was seen to hide rows of other shards alone."""

LIVE, REFUSED, RETIRED, DESTROYED = "live", "refused", "retired", "destroyed"
_ON_DISK = (LIVE, REFUSED, RETIRED)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One generation of one artefact. `path` is relative to the root."""

    id: int
    kind: str
    name: str
    generation: int
    path: str
    sha256: str
    data_epoch: int
    scope: Scope
    mode: Mode
    state: str
    seed: int | None
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new artefact was made from."""

    data_epoch: int
    scope: Scope
    mode: Mode = Mode.SERVING
    seed: int | None = None
    settings: Mapping[str, Any] | None = None
    parents: tuple[int, ...] = ()


def next_generation(unit: Unit, kind: str, name: str) -> int:
    """One more than the newest generation of this artefact, destroyed ones counted."""
    c = artifacts.c
    newest = unit.connection.scalar(select(func.max(c.generation)).where(c.kind == kind, c.name == name))
    return (newest or 0) + 1


def folder(kind: str, name: str, generation: int) -> str:
    """Where a generation lives, relative to the root."""
    return f"artifacts/{kind}/{name}/gen-{generation:05d}"


def register(unit: Unit, kind: str, name: str, generation: int, *, path: str, sha256: str, origin: Origin) -> Artifact:
    """Switch readers to a finished artefact; the older live generation of the same mode is retired."""
    if kind not in KINDS:
        raise ValueError(f"artefact kind {kind!r} has no erasure rule; add it to db.erasure.KINDS")
    c = artifacts.c
    same = and_(c.kind == kind, c.name == name, c.mode == origin.mode, c.state.in_((LIVE, REFUSED)))
    unit.connection.execute(update(artifacts).where(same).values(state=RETIRED))
    values = {
        "kind": kind,
        "name": name,
        "generation": generation,
        "path": path,
        "sha256": sha256,
        "data_epoch": origin.data_epoch,
        "scope": origin.scope,
        "mode": origin.mode,
        "state": LIVE,
        "seed": origin.seed,
        "settings": dict(origin.settings or {}),
        "created_at": datetime.now(UTC),
    }
    key = unit.connection.execute(artifacts.insert().returning(c.id), values).scalar_one()
    if origin.parents:
        unit.connection.execute(artifact_parents.insert(), [{"child": key, "parent": p} for p in origin.parents])
    return _record(unit.connection.execute(select(artifacts).where(c.id == key)).one())


def live(unit: Unit, kind: str, name: str | None = None, *, mode: Mode = Mode.SERVING) -> Artifact | None:
    """The generation that readers use, or None. The newest one where `name` is left open."""
    c = artifacts.c
    wanted = and_(c.kind == kind, c.mode == mode, c.state == LIVE, c.name == name if name else c.name.is_not(None))
    row = unit.connection.execute(select(artifacts).where(wanted).order_by(c.id.desc()).limit(1)).first()
    return _record(row) if row else None


def get(unit: Unit, key: int) -> Artifact:
    """The artefact with this key, whatever its state."""
    return _record(unit.connection.execute(select(artifacts).where(artifacts.c.id == key)).one())


def all_on_disk(unit: Unit) -> list[Artifact]:
    """Every artefact whose bytes may still exist."""
    rows = unit.connection.execute(select(artifacts).where(artifacts.c.state.in_(_ON_DISK)).order_by(artifacts.c.id))
    return [_record(row) for row in rows]


def every(unit: Unit, kind: str) -> list[Artifact]:
    """Every artefact of a kind there ever was, destroyed ones too."""
    return [_record(row) for row in unit.connection.execute(select(artifacts).where(artifacts.c.kind == kind))]


def bytes_of(root: Path, artifact: Artifact) -> bool:
    """Whether anything lies where this artefact does, or did."""
    return (root / artifact.path).exists() or quarantined(root, artifact).exists()


def descending(unit: Unit, epoch: int) -> list[Artifact]:
    """Artefacts on disk that may hold rows hidden at `epoch`: built before it, from more than nothing.

    A shard that was seen to hold none of them (`clear`) is left out, and so is what visible people asked for.
    """
    others = _of_visible_people(unit)
    return [a for a in all_on_disk(unit) if a.scope != Scope.NONE and _clear_to(a) < epoch and a.id not in others]


def _of_visible_people(unit: Unit) -> set[int]:
    """Adapters that people whom no request hides asked for."""
    c = concept_requests.c
    owned = select(c.adapter).join(users, users.c.id == c.user).where(users.c.hidden_by.is_(None))
    return {key for key in unit.connection.scalars(owned) if key is not None}


def clear(unit: Unit, shards: Iterable[Artifact], epoch: int) -> None:
    """Record that no request up to `epoch` hid a row of these shards, which therefore stay as they are."""
    for shard in shards:
        values = {"settings": {**shard.settings, CLEAR_TO: epoch}}
        unit.connection.execute(update(artifacts).where(artifacts.c.id == shard.id).values(values))


def _clear_to(artifact: Artifact) -> int:
    seen = artifact.settings.get(CLEAR_TO, 0) if artifact.scope is Scope.SHARD else 0
    return max(artifact.data_epoch, int(seen))


def parents(unit: Unit, key: int) -> list[int]:
    """Keys of the artefacts that this one was made from."""
    c = artifact_parents.c
    return list(unit.connection.scalars(select(c.parent).where(c.child == key).order_by(c.parent)))


def refuse(unit: Unit, kinds: Iterable[str]) -> int:
    """Take live artefacts of these kinds from readers, without destroying them. Returns how many."""
    c = artifacts.c
    statement = update(artifacts).where(c.kind.in_(list(kinds)), c.state == LIVE).values(state=REFUSED)
    return unit.connection.execute(statement).rowcount


def destroy_all(unit: Unit, gone: Sequence[Artifact]) -> None:
    """Remove the bytes of these artefacts and record that. A live one that took the path of one of them stays."""
    c, keys = artifacts.c, [artifact.id for artifact in gone]
    taken = set(unit.connection.scalars(select(c.path).where(c.state == LIVE, c.id.not_in(keys))))
    for artifact in gone:
        destroy(quarantined(unit.root, artifact)) if artifact.path in taken else destroy_bytes(unit.root, artifact)
    mark_destroyed(unit, keys)


def mark_destroyed(unit: Unit, keys: Iterable[int]) -> None:
    """Record that the bytes are gone; call after `destroy_bytes`."""
    statement = update(artifacts).where(artifacts.c.id.in_(list(keys)))
    unit.connection.execute(statement.values(state=DESTROYED, destroyed_at=datetime.now(UTC)))


def destroy_bytes(root: Path, artifact: Artifact) -> None:
    """Remove what an artefact has on disk; absent is fine, so a killed run can repeat it."""
    destroy(root / artifact.path)
    destroy(quarantined(root, artifact))


def quarantined(root: Path, artifact: Artifact) -> Path:
    """Where a refused artefact's file waits for its erase, out of the readers' way."""
    return root / "quarantine" / f"{artifact.id}{Path(artifact.path).suffix}"


def quarantine(unit: Unit) -> None:
    """Move the files of refused artefacts out of the readers' way; a pure re-do, safe to repeat after a kill."""
    c = artifacts.c
    for row in unit.connection.execute(select(artifacts).where(c.state == REFUSED)):
        artifact = _record(row)
        source, target = unit.root / artifact.path, quarantined(unit.root, artifact)
        if source.exists():
            target.parent.mkdir(exist_ok=True)
            source.replace(target)


def unregistered(unit: Unit) -> list[Path]:
    """Generation folders that no row of the store knows: left by a kill between rename and registration."""
    known = {unit.root / a.path for a in all_on_disk(unit)}
    found = sorted((unit.root / "artifacts").glob("*/*/gen-*"))
    return [path for path in found if path not in known]


def retire(unit: Unit, gone: Iterable[Artifact]) -> None:
    """Take generations from readers that no newer one of their name replaces; the next maintenance destroys them."""
    keys = [artifact.id for artifact in gone]
    unit.connection.execute(update(artifacts).where(artifacts.c.id.in_(keys)).values(state=RETIRED))


def retired(unit: Unit) -> list[Artifact]:
    """Generations no reader uses any more, still on disk."""
    c = artifacts.c
    rows = unit.connection.execute(select(artifacts).where(c.state == RETIRED).order_by(c.id))
    return [_record(row) for row in rows]


def _record(row: Row[Any]) -> Artifact:
    return Artifact(
        id=row.id,
        kind=row.kind,
        name=row.name,
        generation=row.generation,
        path=row.path,
        sha256=row.sha256,
        data_epoch=row.data_epoch,
        scope=Scope(row.scope),
        mode=Mode(row.mode),
        state=row.state,
        seed=row.seed,
        settings=row.settings,
    )
