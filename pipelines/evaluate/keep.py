"""Where finished parts of an evaluation are kept: each whole or not at all, and never measured twice."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from db import artifacts, catalogue, files
from db.artifacts import Artifact, Origin
from db.errors import LetheError, NotFinishedError, StoreBusyError
from db.records import Mode, Scope
from db.store import Store
from pipelines.generations import draft, switch

KIND = "evaluation"

PATIENCE = 600.0
"""Seconds to wait for another maintainer (a training, an erase) before giving up; finished cells are safe."""

Write = Callable[[Path], object]


class Keeper(Protocol):
    """Keeps folders by name."""

    def find(self, name: str) -> Path | None:
        """The folder kept under this name, its bytes checked where that is possible; None when there is none."""
        ...

    def keep(self, name: str, write: Write, facts: Mapping[str, Any]) -> Path:
        """Let `write` fill a folder and put it in place in one step."""
        ...

    def names(self) -> list[str]:
        """Every name that is kept."""
        ...


class FolderKeeper:
    """A plain folder, for public data that belongs to no store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Path | None:
        """The folder, if it was finished."""
        path = self._folder / name
        return path if path.is_dir() else None

    def keep(self, name: str, write: Write, facts: Mapping[str, Any]) -> Path:
        """Build the folder beside its place and rename it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with files.building(self._folder / name) as folder:
            write(folder)
            files.write_json(folder / "manifest.json", dict(facts))
        return self._folder / name

    def names(self) -> list[str]:
        """Finished folders."""
        return sorted(p.name for p in self._folder.glob("*") if p.is_dir() and p.suffix != ".tmp")


class StoreKeeper:
    """Registered artefacts of a store: scope all, refused to readers by any forget request and destroyed by its erase.

    What was measured on rows of an older data epoch is not found any more.
    """

    def __init__(self, store: Store, epoch: int, *, patience: float = PATIENCE) -> None:
        self._store, self._epoch, self._patience = store, epoch, patience

    def find(self, name: str) -> Path | None:
        """The live artefact of this data epoch. Raises LetheError when its bytes are not as registered."""
        with self._store.reading() as unit:
            found = artifacts.live(unit, KIND, name, mode=Mode.EVALUATION)
        if found is None or found.data_epoch != self._epoch:
            return None
        path = self._store.root / found.path
        if not path.exists() or files.sha256(path) != found.sha256:
            raise LetheError(f"evaluation {name} is not what was registered: restore {path} from a backup")
        return path

    def keep(self, name: str, write: Write, facts: Mapping[str, Any]) -> Path:
        """Write and register. Raises NotFinishedError where rows changed since: nothing of it stays on disk then."""
        origin = Origin(self._epoch, Scope.ALL, mode=Mode.EVALUATION, settings=facts)
        with _patiently(self._store, self._patience):
            self._current()
            made = draft(self._store, KIND, name, write, origin)
            try:
                with self._store.writing() as unit:
                    _check(catalogue.epoch(unit), self._epoch)
                    switch(unit, [made])
                    unit.commit()
            except NotFinishedError:
                files.destroy(self._store.root / made.path)
                raise
        return self._store.root / made.path

    def names(self) -> list[str]:
        """Live evaluation artefacts of this data epoch."""
        with self._store.reading() as unit:
            return sorted(a.name for a in artifacts.all_on_disk(unit) if self._ours(a))

    def _ours(self, artifact: Artifact) -> bool:
        live = artifact.kind == KIND and artifact.state == artifacts.LIVE
        return live and artifact.mode is Mode.EVALUATION and artifact.data_epoch == self._epoch

    def _current(self) -> None:
        with self._store.reading() as unit:
            _check(catalogue.epoch(unit), self._epoch)


def _check(now: int, wanted: int) -> None:
    if now != wanted:
        raise NotFinishedError(
            f"rows changed while this evaluation ran (data epoch {wanted}, now {now}); run the same command again"
        )


@contextmanager
def _patiently(store: Store, patience: float) -> Iterator[None]:
    """The maintainer's lock, waited for: what this one does under it takes milliseconds."""
    given_up = time.monotonic() + patience
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(store.maintaining())
                break
            except StoreBusyError:
                if time.monotonic() >= given_up:
                    raise
                time.sleep(min(1.0, patience))
        yield
