"""Runs the grid of cells: finished ones are skipped, and it ends in time after a whole cell."""

import os
import platform
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from db.errors import LetheError
from pipelines.evaluate import cells, versions, weight
from pipelines.evaluate import shadows as shadows_of
from pipelines.evaluate.cell import measure
from pipelines.evaluate.fits import Fits
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.methods import ALL, NONE, ORACLE, Fitting, Method, applicable
from pipelines.evaluate.protocols import protocol
from pipelines.evaluate.rerank import Reranker
from pipelines.evaluate.settings import chosen
from pipelines.evaluate.shadows import Inquiry, Plain, Shadow
from pipelines.evaluate.spec import Spec
from pipelines.evaluate.split import Data
from pipelines.evaluate.tasks import Bars, Done, Task, work
from pipelines.evaluate.versions import Versions
from pipelines.evaluate.world import World, draw
from unlearning.data.base import Progress

WORLDS = 3
"""Draws held at a time."""


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
    inquiry: Inquiry | None = None
    """Membership inference, where it is asked for."""
    versions: bool = False
    """Whether old and new generations are compared too, under protocols of whole people."""
    reranked: tuple[str, ...] | None = None
    """Protocols under which lists are re-ranked too, where there is a re-ranker; None: all of them."""
    reranked_seeds: int | None = None
    """Of so many seeds (of three oracles at least); None: of every seed."""

    def __post_init__(self) -> None:
        for backbone in self.backbones:
            if backbone not in ALL:
                raise LetheError(f"backbone {backbone!r} is unknown: choose among {', '.join(ALL)}")
        for name in self.protocols:
            protocol(name, self.draw)
        if self.seeds < 1 or self.oracles < 3:
            raise LetheError(f"{self.seeds} seeds and {self.oracles} oracles: at least 1 seed and 3 oracles are needed")

    def reranks(self, under: str, method: str, seed: int) -> bool:
        """Whether the lists of a cell are re-ranked too."""
        if self.reranked is not None and under not in self.reranked:
            return False
        most = self.reranked_seeds
        return most is None or seed < (max(most, 3) if method == ORACLE else most)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cells of a grid, the shadow trainings of its inquiry, how far the run came, and pairs that do not exist."""

    specs: tuple[Spec, ...]
    shadows: tuple[Shadow, ...]
    compared: tuple[Spec, ...]
    """Cells whose generations are compared."""
    done: Done
    not_applicable: tuple[str, ...]


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
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By backbone, in place of those that validation rows choose."""
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    fits: Fits = field(default_factory=Fits)
    worlds: dict[str, World] = field(default_factory=dict)

    def world(self, spec: Spec) -> World:
        """The draw of a protocol, worked out once; the last three are held."""
        key = f"{spec.protocol.name}/{spec.protocol.draw}"
        if key not in self.worlds:
            while len(self.worlds) >= WORLDS:
                self.worlds.pop(next(iter(self.worlds)))
            self.worlds[key] = draw(self.data, spec.protocol)
        return self.worlds[key]


def run(lab: Lab, *grids: Grid, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet, then what else a grid asks for: grid by grid, and nothing twice.

    With `minutes`, no cell is begun that would likely end later.
    """
    until = None if minutes is None else time.monotonic() + minutes * 60
    specs: dict[str, Spec] = {}
    compared: dict[str, Spec] = {}
    shadows: dict[str, Shadow] = {}
    tasks: dict[str, Task] = {}
    missing: list[str] = []
    for grid in grids:
        planned, absent = plan(lab, grid)
        both, asked = _compared(grid, planned), _shadows(lab, grid)
        todo = [*(_cell(lab, spec) for spec in planned), *_version_tasks(lab, both), *_shadow_tasks(lab, grid, asked)]
        tasks |= {task.name: task for task in todo if task.name not in tasks}
        missing += absent
        specs |= {spec.name: spec for spec in planned}
        compared |= {spec.name: spec for spec in both}
        shadows |= {shadow.name: shadow for shadow in asked}
    done = work(list(tasks.values()), lab.keeper, lab.bars, until=until)
    there = [tuple(found.values()) for found in (specs, compared)]
    return Outcome(there[0], tuple(shadows.values()), there[1], done, tuple(dict.fromkeys(missing)))


def plan(lab: Lab, grid: Grid) -> tuple[list[Spec], list[str]]:
    """Every cell of the grid, oracles first, and the pairs of method and backbone that do not exist."""
    specs: list[Spec] = []
    there = {backbone: _there(lab, grid, backbone) for backbone in grid.backbones}
    for backbone in grid.backbones:
        settings = _settings(lab, grid, backbone)
        rerank = _rerank(lab, grid, backbone, settings)
        for asked in (protocol(name, grid.draw) for name in grid.protocols):
            drawn = [(ORACLE, seed) for seed in range(grid.oracles)]
            drawn += [(name, seed) for seed in range(grid.seeds) for name in there[backbone]]
            for method, seed in drawn:
                own = rerank if grid.reranks(asked.name, method, seed) else None
                specs.append(Spec(lab.data.split.id, backbone, settings, asked, method, seed, own))
    absent = [f"{backbone}/{name}" for backbone in there for name in _names(grid) if name not in there[backbone]]
    return specs, absent


def _names(grid: Grid) -> list[str]:
    """Every method of a grid but the oracle; none is always among them."""
    return [NONE, *(name for name in grid.methods if name not in (NONE, ORACLE))]


def _there(lab: Lab, grid: Grid, backbone: str) -> list[str]:
    return [name for name in _names(grid) if applicable(lab.methods, name, backbone)]


def load_cells(lab: Lab, specs: Sequence[Spec]) -> list[cells.Cell]:
    """The finished ones among these cells."""
    found = [lab.keeper.find(spec.name) for spec in specs]
    return [cells.load(folder) for folder in found if folder is not None]


def _cell(lab: Lab, spec: Spec) -> Task:
    def _do(bar: Progress) -> None:
        method = None if spec.method == ORACLE else lab.methods[spec.method]
        made = measure(spec, lab.world(spec), method, lab.fits, reranker=lab.reranker, progress=bar)
        cells.keep(lab.keeper, spec, made, run=lab.run, machine=machine())

    label = f"{spec.backbone} {spec.protocol.name} {spec.method} seed {spec.seed}"
    return Task(spec.name, f"{spec.backbone} {spec.protocol.name} {spec.method}", label, _do)


def _compared(grid: Grid, specs: Sequence[Spec]) -> list[Spec]:
    """Cells whose generations are compared too."""
    return [s for s in specs if grid.versions and s.protocol.whole_people and s.seed == 0 and s.method != ORACLE]


def _version_tasks(lab: Lab, compared: Sequence[Spec]) -> Iterator[Task]:
    shared: dict[tuple[str, str], Versions] = {}
    for spec in compared:

        def _do(bar: Progress, spec: Spec = spec) -> None:
            key = (spec.backbone, spec.protocol.name)
            if key not in shared:
                shared.clear()
                shared[key] = Versions(lab.world(spec), lab.methods[NONE])
            found = shared[key].measure(spec, lab.methods[spec.method], lab.fits, progress=bar)
            versions.keep(lab.keeper, spec, found)

        label = f"{spec.backbone} {spec.protocol.name} versions of {spec.method}"
        yield Task(versions.name(spec), label, label, _do)


def _shadows(lab: Lab, grid: Grid) -> list[Shadow]:
    """Shadow by shadow, so that its methods share their fits."""
    if grid.inquiry is None:
        return []
    fittings = {backbone: Fitting(backbone, _settings(lab, grid, backbone)) for backbone in grid.backbones}
    return [
        Shadow(lab.data, grid.inquiry, fittings[backbone], lab.methods[method], number)
        for backbone in grid.backbones
        for number in range(grid.inquiry.shadows)
        for method in _there(lab, grid, backbone)
    ]


def _shadow_tasks(lab: Lab, grid: Grid, shadows: Sequence[Shadow]) -> Iterator[Task]:
    if grid.inquiry is None:
        return
    trial, guard = grid.inquiry.trial(lab.data), Guard(lab.data)
    shared: dict[tuple[str, int], Plain] = {}
    for shadow in shadows:

        def _do(_bar: Progress, shadow: Shadow = shadow) -> None:
            key = (shadow.fitting.backbone, shadow.number)
            if key not in shared:
                shared.clear()
                shared[key] = Plain(shadow.fitting, guard)
            shadows_of.measure(shadow, trial, shared[key], lab.keeper)

        label = f"{shadow.fitting.backbone} membership {shadow.method.name} shadow {shadow.number}"
        yield Task(shadow.name, f"shadow {shadow.fitting.backbone} {shadow.method.name}", label, _do)


def _settings(lab: Lab, grid: Grid, backbone: str) -> dict[str, Any]:
    if backbone in lab.settings:
        return dict(lab.settings[backbone])
    with lab.bars(f"settings of {backbone}") as bar:
        return chosen(lab.data, backbone, Guard(lab.data), lab.keeper, quick=grid.quick, progress=bar)


def _rerank(lab: Lab, grid: Grid, backbone: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What determines re-ranked lists, where there are any."""
    if lab.reranker is None or not any(name in grid.protocols for name in grid.reranked or grid.protocols):
        return None
    if lab.weight is not None:
        return {**weight.told(lab.reranker), "weight": lab.weight}
    fitting = Fitting(backbone, settings)
    with lab.bars(f"weight of {lab.reranker.plan.model} over {backbone}") as bar:
        return weight.chosen(lab.reranker, lab.data, fitting, lab.keeper, quick=grid.quick, progress=bar)


def machine() -> dict[str, Any]:
    """Where times were taken."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "python": platform.python_version(),
    }
