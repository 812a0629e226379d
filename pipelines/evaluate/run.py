"""Runs the grid of cells: finished ones are skipped, and it ends in time after a whole cell."""

import os
import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from db import files
from db.errors import LetheError, NotFinishedError
from db.records import Split
from pipelines.evaluate import cells
from pipelines.evaluate.cell import measure
from pipelines.evaluate.fits import Fits
from pipelines.evaluate.guard import Guard, LeakError
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.methods import ALL, NONE, ORACLE, Fitting, Method, applicable
from pipelines.evaluate.protocols import protocol
from pipelines.evaluate.rerank import Reranker
from pipelines.evaluate.settings import chosen, read_document
from pipelines.evaluate.spec import Spec
from pipelines.evaluate.split import Data, ResplitError
from pipelines.evaluate.world import World, draw
from recsys.heldout import held_out
from unlearning.data.base import Progress


class Bars(Protocol):
    """Opens a progress bar under a label."""

    def __call__(self, label: str) -> AbstractContextManager[Progress]:
        """One bar."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """What is to be measured. `oracle` and `none` are part of every grid."""

    backbones: tuple[str, ...]
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: int = 3
    oracles: int = 3
    """Retrainings on the rows that stay, with seeds of their own: the spread between them is the limit."""
    draw: int = 0
    """Seed of what is forgotten, the same for every training."""
    quick: bool = False

    def __post_init__(self) -> None:
        for backbone in self.backbones:
            if backbone not in ALL:
                raise LetheError(f"backbone {backbone!r} is unknown: choose among {', '.join(ALL)}")
        for name in self.protocols:
            protocol(name, self.draw)
        if self.seeds < 1 or self.oracles < 3:
            raise LetheError(f"{self.seeds} seeds and {self.oracles} oracles: at least 1 seed and 3 oracles are needed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a run came."""

    specs: tuple[Spec, ...]
    measured: int
    skipped: int
    left: int
    not_applicable: tuple[str, ...]
    failed: tuple[tuple[str, str], ...] = ()
    """Cells that ended in an error of the method, with what it said: they are measured again by the next run."""


@dataclass(slots=True)
class Lab:
    """What all cells of a run share."""

    data: Data
    keeper: Keeper
    methods: Mapping[str, Method]
    bars: Bars
    reranker: Reranker | None = None
    weight: float | None = None
    """Stands in for the weight that validation rows choose."""
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    fits: Fits = field(default_factory=Fits)
    worlds: dict[str, World] = field(default_factory=dict)

    def world(self, spec: Spec) -> World:
        """The draw of a protocol, worked out once; the last one only is held."""
        key = f"{spec.protocol.name}/{spec.protocol.draw}"
        if key not in self.worlds:
            self.worlds = {key: draw(self.data, spec.protocol)}
        return self.worlds[key]


def run(lab: Lab, grid: Grid, *, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet, in the order of the grid.

    With `minutes`, no cell is begun that would likely end later (judged by the longest so far on its backbone).
    """
    started, longest = time.monotonic(), dict[str, float]()
    specs, missing = plan(lab, grid)
    open_cells = [spec for spec in specs if lab.keeper.find(spec.name) is None]
    done, failed = 0, list[tuple[str, str]]()
    for spec in open_cells:
        begun = time.monotonic()
        if minutes is not None and begun - started + longest.get(spec.backbone, 0.0) > minutes * 60:
            break
        label = f"cell {done + len(failed) + 1}/{len(open_cells)}: {spec.backbone} {spec.protocol.name} {spec.method}"
        try:
            _one(lab, spec, label)
            done += 1
        except (LeakError, ResplitError, NotFinishedError):
            raise
        except LetheError as error:
            failed.append((spec.name, str(error)))
        longest[spec.backbone] = max(longest.get(spec.backbone, 0.0), time.monotonic() - begun)
    left = len(open_cells) - done - len(failed)
    return Outcome(tuple(specs), done, len(specs) - len(open_cells), left, tuple(missing), tuple(failed))


def plan(lab: Lab, grid: Grid) -> tuple[list[Spec], list[str]]:
    """Every cell of the grid, oracles first, and the pairs of method and backbone that do not exist."""
    specs: list[Spec] = []
    names = [NONE, *(name for name in grid.methods if name not in (NONE, ORACLE))]
    exists = {
        (backbone, name): applicable(lab.methods, name, backbone) for backbone in grid.backbones for name in names
    }
    for backbone in grid.backbones:
        there = [name for name in names if exists[backbone, name]]
        settings, rerank = _settings(lab, grid, backbone), _rerank(lab, grid, backbone)
        for asked in (protocol(name, grid.draw) for name in grid.protocols):
            drawn = [(ORACLE, seed) for seed in range(grid.oracles)]
            drawn += [(name, seed) for seed in range(grid.seeds) for name in there]
            specs += [Spec(lab.data.split.id, backbone, settings, asked, *one, rerank) for one in drawn]
    return specs, [f"{backbone}/{name}" for (backbone, name), known in exists.items() if not known]


def load_cells(lab: Lab, specs: Sequence[Spec]) -> list[cells.Cell]:
    """The finished ones among these cells."""
    found = [lab.keeper.find(spec.name) for spec in specs]
    return [cells.load(folder) for folder in found if folder is not None]


def _one(lab: Lab, spec: Spec, label: str) -> None:
    world = lab.world(spec)
    with lab.bars(f"{label} seed {spec.seed}") as bar:
        method = None if spec.method == ORACLE else lab.methods[spec.method]
        made = measure(spec, world, method, lab.fits, reranker=lab.reranker, progress=bar)
    cells.keep(lab.keeper, spec, made, run=lab.run, machine=machine())


def _settings(lab: Lab, grid: Grid, backbone: str) -> dict[str, Any]:
    with lab.bars(f"settings of {backbone}") as bar:
        return chosen(lab.data, backbone, Guard(lab.data), lab.keeper, quick=grid.quick, progress=bar)


def _rerank(lab: Lab, grid: Grid, backbone: str) -> dict[str, Any] | None:
    """What determines re-ranked lists; the weight is chosen once for each backbone, on validation rows."""
    if lab.reranker is None:
        return None
    plan = lab.reranker.plan
    told = {name: getattr(plan, name) for name in ("scorer", "model", "length", "candidates", "max_shift", "seed")}
    told["people"] = lab.reranker.people
    if lab.weight is not None:
        return {**told, "weight": lab.weight}
    name = f"weight-{backbone}-{lab.data.split.id}-{plan.scorer}" + ("-quick" if grid.quick else "")
    folder = lab.keeper.find(name)
    if folder is None:
        document = {**told, **_choose_weight(lab, grid, backbone, lab.reranker)}
        folder = lab.keeper.keep(
            name, lambda where: files.write_json(where / "weight.json", document), {"split": lab.data.split.id}
        )
    known = read_document(folder / "weight.json")
    if any(known[key] != value for key, value in told.items()):
        raise LetheError(f"the weight of {plan.model} was chosen with other settings; give --weight, or the same ones")
    return {**told, "weight": known["weight"]}


def _choose_weight(lab: Lab, grid: Grid, backbone: str, reranker: Reranker) -> dict[str, Any]:
    guard, log = Guard(lab.data), lab.data.log
    fitting = Fitting(backbone, _settings(lab, grid, backbone))
    with lab.bars(f"weight of {reranker.plan.model} over {backbone}") as bar:
        model = fitting.fit(guard.training(log.only(Split.TRAIN)), seed=reranker.plan.seed, progress=bar)
        return reranker.weight(model, held_out(log, Split.VALID), guard, bar)


def machine() -> dict[str, Any]:
    """Where times were taken."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "python": platform.python_version(),
    }
