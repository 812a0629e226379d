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
    """Measure every cell that is not kept yet, in the order of the grid, then what else it asks for.

    With `minutes`, no cell is begun that would likely end later.
    """
    until = None if minutes is None else time.monotonic() + minutes * 60
    specs, missing = plan(lab, grid)
    shadows = _shadows(lab, grid, specs)
    compared = _compared(grid, specs)
    tasks = [*(_cell(lab, spec) for spec in specs), *_version_tasks(lab, compared), *_shadow_tasks(lab, grid, shadows)]
    done = work(tasks, lab.keeper, lab.bars, until=until)
    return Outcome(tuple(specs), tuple(shadows), tuple(compared), done, tuple(missing))


def plan(lab: Lab, grid: Grid) -> tuple[list[Spec], list[str]]:
    """Every cell of the grid, oracles first, and the pairs of method and backbone that do not exist."""
    specs: list[Spec] = []
    names = [NONE, *(name for name in grid.methods if name not in (NONE, ORACLE))]
    exists = {
        (backbone, name): applicable(lab.methods, name, backbone) for backbone in grid.backbones for name in names
    }
    for backbone in grid.backbones:
        there = [name for name in names if exists[backbone, name]]
        settings = _settings(lab, grid, backbone)
        rerank = _rerank(lab, grid, backbone, settings)
        for asked in (protocol(name, grid.draw) for name in grid.protocols):
            drawn = [(ORACLE, seed) for seed in range(grid.oracles)]
            drawn += [(name, seed) for seed in range(grid.seeds) for name in there]
            specs += [Spec(lab.data.split.id, backbone, settings, asked, *one, rerank) for one in drawn]
    return specs, [f"{backbone}/{name}" for (backbone, name), known in exists.items() if not known]


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


def _shadows(lab: Lab, grid: Grid, specs: Sequence[Spec]) -> list[Shadow]:
    """Shadow by shadow, so that its methods share their fits."""
    if grid.inquiry is None:
        return []
    known = {(spec.backbone, spec.method): spec.settings for spec in specs if spec.method != ORACLE}
    return [
        Shadow(lab.data, grid.inquiry, Fitting(backbone, known[backbone, method]), lab.methods[method], number)
        for one in grid.backbones
        for number in range(grid.inquiry.shadows)
        for backbone, method in known
        if backbone == one
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
    with lab.bars(f"settings of {backbone}") as bar:
        return chosen(lab.data, backbone, Guard(lab.data), lab.keeper, quick=grid.quick, progress=bar)


def _rerank(lab: Lab, grid: Grid, backbone: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What determines re-ranked lists, where there are any."""
    if lab.reranker is None:
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
