"""Everything that measurements left in a store for its rows as they are now: read once, checked, and told apart."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from db import artifacts, catalogue
from db.errors import LetheError
from db.store import Store
from pipelines.evaluate.keep import KIND, StoreKeeper

CELL = "cell.json"


class Keyed(Protocol):
    """What determines a cell, with the key made of it and of the version of the code."""

    @property
    def key(self) -> str:
        """64 hexadecimal digits."""
        ...


S = TypeVar("S", bound=Keyed)


@dataclass(frozen=True, slots=True)
class Cell(Generic[S]):
    """A kept cell: what determines it, where it was measured, and where it lies."""

    spec: S
    machine: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is kept: folders by name, those that are damaged by what is wrong with them, and how many are gone."""

    store: Store
    keeper: StoreKeeper
    folders: Mapping[str, Path]
    damaged: Mapping[str, str] = field(default_factory=dict)
    withdrawn: int = 0
    """Kept once, and since then refused or destroyed because somebody asked to be forgotten."""
    older: Counter[str] = field(default_factory=Counter)
    """By the kind of measurement: cells that another version of the code left, which no table shows."""

    def under(self, prefix: str) -> Iterator[tuple[str, Path]]:
        """Names with this prefix, and their folders, the oldest first."""
        return ((name, folder) for name, folder in self.folders.items() if name.startswith(prefix))

    def cells(self, command: str, files: tuple[str, str], make: Callable[[Mapping[str, Any]], S]) -> Iterator[Cell[S]]:
        """Cells of a command, by the prefix of their names and the file of their rows; `make` reads their specs.

        Those that this version of the code would not find are counted as `older`.
        """
        prefix, rows = files
        for _, folder in self.under(prefix):
            if (folder / CELL).exists() and (folder / rows).exists():
                document = json.loads((folder / CELL).read_text(encoding="utf-8"))
                spec = make(document["spec"])
                if spec.key == document["key"]:
                    machine = document.get("machine") or document["facts"]["machine"]
                    yield Cell(spec, machine, folder)
                else:
                    self.older[command] += 1

    def begins(self, *prefixes: str) -> bool:
        """Whether anything is kept under one of these prefixes."""
        return any(name.startswith(prefixes) for name in self.folders)

    def split_name(self, split: str) -> str | None:
        """The name of a stored split by its id."""
        for _, folder in self.under("split-"):
            known = json.loads((folder / "split.json").read_text(encoding="utf-8"))
            if known["id"] == split:
                return str(known["name"])
        return None


def read(store: Store) -> Shelf:
    """The shelf of a store. A cell that is not what was registered is told, and read by nobody."""
    with store.reading() as unit:
        epoch, every = catalogue.epoch(unit), artifacts.every(unit, KIND)
    keeper = StoreKeeper(store, epoch)
    gone = {a.name for a in every if a.state in (artifacts.REFUSED, artifacts.DESTROYED)}
    order = {a.name: a.id for a in every}
    folders, damaged = dict[str, Path](), dict[str, str]()
    for name in sorted(keeper.names(), key=lambda name: order[name]):
        try:
            folder = keeper.find(name)
        except LetheError as error:
            damaged[name] = str(error)
        else:
            folders |= {} if folder is None else {name: folder}
    return Shelf(store, keeper, folders, damaged, len(gone - folders.keys() - damaged.keys()))
