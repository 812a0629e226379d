"""The reject file as an artefact of the store: it tells of people's rows, so an erase destroys it."""

from pathlib import Path

from db import artifacts, catalogue
from db.artifacts import Artifact, Origin
from db.files import sha256
from db.records import Scope
from db.store import Store

KIND, NAME = "reject-file", "ingest"
_FILE = "rejects.jsonl"


def next_reject_file(store: Store) -> Path:
    """Where the readers may put the next reject file, under the root."""
    with store.reading() as unit:
        generation = artifacts.next_generation(unit, KIND, NAME)
    return store.root / artifacts.folder(KIND, NAME, generation) / _FILE


def register_rejects(store: Store, path: Path) -> Artifact:
    """Register a reject file written at `next_reject_file`: every request accepted later destroys it when erased."""
    where = path.parent.relative_to(store.root).as_posix()
    with store.writing() as unit:
        generation = artifacts.next_generation(unit, KIND, NAME)
        origin = Origin(catalogue.epoch(unit), Scope.ALL)
        kept = artifacts.register(unit, KIND, NAME, generation, path=where, sha256=sha256(path.parent), origin=origin)
        unit.commit()
    return kept
