"""Builds new generations beside the old ones, and switches readers over in one transaction at the end."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from db import artifacts, files, jobs
from db.artifacts import Artifact, Origin
from db.errors import LetheError, StoreBusyError
from db.store import Store, Unit
from pipelines.forget import clear_outputs

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Draft:
    """A generation that is whole on disk and not yet registered: no reader sees it."""

    kind: str
    name: str
    generation: int
    path: str
    sha256: str
    origin: Origin


def fresh_seed(seed: int, generation: int) -> int:
    """A seed that no two generations share: two trainings with one seed would give a forgotten person away."""
    digest = hashlib.sha256(f"{seed}/{generation}".encode()).digest()
    return int.from_bytes(digest[:4], "little") & 0x7FFFFFFF


def draft(store: Store, kind: str, name: str, write: Callable[[Path], object], origin: Origin) -> Draft:
    """Write a generation and its manifest durably; if it is never registered, the next `sweep` destroys it."""
    with store.reading() as unit:
        generation = artifacts.next_generation(unit, kind, name)
    path = artifacts.folder(kind, name, generation)
    (store.root / path).parent.mkdir(parents=True, exist_ok=True)
    with files.building(store.root / path) as folder:
        write(folder)
        files.write_json(folder / MANIFEST, _manifest(kind, name, generation, origin))
    return Draft(kind, name, generation, path, files.sha256(store.root / path), origin)


def switch(unit: Unit, drafts: Sequence[Draft]) -> list[Artifact]:
    """Register drafts in the caller's transaction: from its commit on, readers use them. Older ones are retired."""
    return [
        artifacts.register(unit, d.kind, d.name, d.generation, path=d.path, sha256=d.sha256, origin=d.origin)
        for d in drafts
    ]


def checked_folder(root: Path, artifact: Artifact) -> Path:
    """The folder of a generation whose bytes are as registered. Raises LetheError when they are not."""
    path = root / artifact.path
    if not path.exists():
        raise LetheError(f"{artifact.kind} {artifact.name} is missing from {root}; run `lethe train`")
    if files.sha256(path) != artifact.sha256:
        raise LetheError(f"{artifact.kind} {artifact.name} differs from what was registered; run `lethe train`")
    return path


def sweep(store: Store) -> None:
    """Destroy what no reader uses: folders that a killed run left, retired generations, temporary files.

    The caller is the maintainer. Folders of batches that run, or can go on, are theirs.
    """
    with store.writing() as unit:
        clear_outputs(unit)
        _cancel_stranded(unit)
        running = {job.id for job in jobs.unfinished(unit)}
        leftovers = [*artifacts.unregistered(unit), *(p for p in _jobs(store.root) if p.name not in running)]
        for path in leftovers:
            files.destroy(path)
        artifacts.destroy_all(unit, artifacts.retired(unit))
        unit.commit()
    for path in [*store.root.rglob("*.tmp"), *(store.root / "tmp").glob("*")]:
        if not path.is_relative_to(store.root / "jobs"):
            files.destroy(path)
    for folder in _jobs(store.root):
        with suppress(StoreBusyError), jobs.alone(folder):
            for path in folder.glob("*.tmp"):
                files.destroy(path)


def _cancel_stranded(unit: Unit) -> None:
    for job in jobs.stranded(unit):
        with suppress(StoreBusyError), jobs.alone(unit.root / "jobs" / job.id):
            jobs.set_state(unit, job.id, jobs.CANCELLED)


def _jobs(root: Path) -> list[Path]:
    return sorted((root / "jobs").glob("*"))


def _manifest(kind: str, name: str, generation: int, origin: Origin) -> dict[str, object]:
    return {
        "kind": kind,
        "name": name,
        "generation": generation,
        "data_epoch": origin.data_epoch,
        "scope": origin.scope.value,
        "mode": origin.mode.value,
        "seed": origin.seed,
        "parents": list(origin.parents),
        "settings": dict(origin.settings or {}),
        "lethe": version("lethe-rec"),
    }
