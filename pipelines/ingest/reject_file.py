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
        return _folder(store, artifacts.next_generation(unit, KIND, NAME)) / _FILE


def register_rejects(store: Store, path: Path) -> Artifact:
    """Register a reject file written at `next_reject_file`: every request accepted later destroys it when erased."""
    folder = path.parent
    with store.writing() as unit:
        generation = artifacts.next_generation(unit, KIND, NAME)
        if folder != _folder(store, generation):
            raise ValueError(f"{path} is not the next reject file of {store.root}")
        origin = Origin(catalogue.epoch(unit), Scope.ALL)
        where = artifacts.folder(KIND, NAME, generation)
        kept = artifacts.register(unit, KIND, NAME, generation, path=where, sha256=sha256(folder), origin=origin)
        unit.commit()
    return kept


def _folder(store: Store, generation: int) -> Path:
    return store.root / artifacts.folder(KIND, NAME, generation)
