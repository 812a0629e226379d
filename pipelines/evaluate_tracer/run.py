"""Runs the grid: methods by concepts by seeds, one seed of everything first; what is kept is never measured again."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import polars as pl

from db.errors import LetheError
from pipelines.concepts.resolve import resolve
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.run import machine
from pipelines.evaluate.tasks import Bars, Done, Task, work
from pipelines.evaluate_tracer import cells, measure
from pipelines.evaluate_tracer.data import Rows
from pipelines.evaluate_tracer.spec import BASE, ORACLE, Spec
from pipelines.generations import fresh_seed
from recsys.semantic_ids.backbone import SemanticIds
from recsys.semantic_ids.training import SEMANTIC_SETTINGS, SemanticIdFitter, SemanticSettings
from unlearning.tokens.case import Case, Progress, Retokened, TokenSettings
from unlearning.tokens.methods import METHODS, make
from unlearning.tokens.oracle import oracle
from unlearning.tokens.relearn import relearned

CONCEPTS = ("Horror", "Star Trek")
"""A genre and a franchise of ml-100k, unless others are named; a quick run has the first alone."""

EPOCHS, QUICK_EPOCHS, QUICK_STEPS, QUICK_PEOPLE = 20, 6, 60, 200
"""Epochs of every recommender, oracles too: no row of the questions chooses them."""

MODEL = "model"


@dataclass(frozen=True)
class Grid:
    """What is to be measured; the recommender that forgot nothing and the oracle are part of every grid."""

    concepts: tuple[str, ...] = CONCEPTS
    methods: tuple[str, ...] = METHODS
    seeds: int = 3
    people: int = 1000
    model: SemanticSettings = field(default_factory=lambda: replace(SEMANTIC_SETTINGS, epochs=EPOCHS))
    settings: TokenSettings = field(default_factory=TokenSettings)
    quick: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise LetheError(f"method {unknown[0]!r} is unknown: choose among {', '.join(METHODS)}")
        if self.seeds < 1 or self.people < 1 or not self.concepts:
            raise LetheError("a grid needs a concept, a seed and people to ask")


def quick(grid: Grid) -> Grid:
    """One seed, one concept, few epochs, steps and people."""
    return replace(
        grid,
        concepts=grid.concepts[:1],
        seeds=1,
        people=min(grid.people, QUICK_PEOPLE),
        model=replace(grid.model, epochs=min(grid.model.epochs, QUICK_EPOCHS)),
        settings=replace(grid.settings, steps=min(grid.settings.steps, QUICK_STEPS)),
        quick=True,
    )


@dataclass(frozen=True)
class Lab:
    """What all cells of a run share."""

    rows: Rows
    keeper: Keeper
    bars: Bars

    def concept(self, name: str) -> tuple[int, ...]:
        """Rows of the items that a name stands for. Raises LetheError where it names none."""
        found = resolve(name, self.rows.items, lambda phrase: ())
        place = {item.id: row for row, item in enumerate(self.rows.items)}
        return tuple(sorted(place[item.id] for item in found.items))


@dataclass(frozen=True)
class Outcome:
    """The cells of a grid by concept, and how far the run came."""

    specs: dict[str, tuple[Spec, ...]]
    done: Done


def run(lab: Lab, grid: Grid, *, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet. With `minutes`, none is begun that would likely end later."""
    until = None if minutes is None else time.monotonic() + minutes * 60
    models = {seed: _model(lab, grid, seed) for seed in range(grid.seeds)}
    specs = {name: tuple(specs_of(lab, grid, name)) for name in grid.concepts}
    tasks = []
    for seed, model in models.items():
        tasks.append(_trained(lab, grid, model))
        tasks += [_task(lab, grid, spec, model) for name in grid.concepts for spec in specs[name] if spec.seed == seed]
    return Outcome(specs, work(tasks, lab.keeper, lab.bars, until=until))


def _model(lab: Lab, grid: Grid, seed: int) -> Spec:
    return Spec(lab.rows.id, "", (), MODEL, seed, asdict(grid.model), {}, 0)


def specs_of(lab: Lab, grid: Grid, name: str) -> Iterator[Spec]:
    """What determines every cell of a concept, whether it is kept or not."""
    items, settings = lab.concept(name), asdict(grid.settings)
    for seed in range(grid.seeds):
        for method in (BASE, ORACLE, *grid.methods):
            yield Spec(lab.rows.id, slug(name), items, method, seed, asdict(grid.model), settings, grid.people)


def slug(name: str) -> str:
    """A concept's name as part of a file name.

    >>> slug("Star Trek")
    'star-trek'
    """
    return "-".join(name.lower().split())


def _trained(lab: Lab, grid: Grid, spec: Spec) -> Task:
    def _do(bar: Progress) -> None:
        started = time.perf_counter()
        fitter = SemanticIdFitter(grid.model)
        made = fitter.fit(lab.rows.log, lab.rows.vectors, seed=fresh_seed(spec.seed, 0), progress=bar)
        facts = {"seconds": time.perf_counter() - started, "machine": machine()}
        cells.keep(lab.keeper, spec, pl.DataFrame(), facts, model=made.backbone)

    return Task(spec.name, MODEL, f"train the recommender, seed {spec.seed}", _do)


def _task(lab: Lab, grid: Grid, spec: Spec, model: Spec) -> Task:
    def _do(bar: Progress) -> None:
        folder = lab.keeper.find(model.name)
        if folder is None:
            raise LetheError(f"the recommender of seed {spec.seed} is not trained: run the same command again")
        case = Case(cells.model_of(folder), np.array(spec.items, dtype=np.int64), lab.rows.log, lab.rows.vectors)
        made = _way(spec.method, grid)(case, fresh_seed(spec.seed, 1), bar)
        near = np.unique(case.near(grid.settings.neighbours))
        asked = measure.Asked(measure.some(lab.rows.questions, spec.people, 0), case.concept, near)
        curve = relearned(case, made, grid.settings, seed=fresh_seed(spec.seed, 2))
        facts = {**measure.facts(case, made), "relearned": curve, "machine": machine()}
        cells.keep(lab.keeper, spec, measure.measured(made, case.model, asked), facts)

    label = f"{spec.concept}: {spec.method}, seed {spec.seed}"
    return Task(spec.name, f"{spec.concept} {spec.method}", label, _do)


Way = Callable[[Case, int, Progress], Retokened]


def _way(name: str, grid: Grid) -> Way:
    """How a method, the oracle or nothing at all makes a recommender."""
    if name == BASE:
        return lambda case, seed, bar: Retokened(case.model)
    if name == ORACLE:
        return lambda case, seed, bar: oracle(case, grid.model, seed=seed, progress=bar)
    return lambda case, seed, bar: make(name, grid.settings).forget(case, seed=seed, progress=bar)


def model_of(lab: Lab, grid: Grid, seed: int) -> SemanticIds | None:
    """The recommender of a seed, where it is trained."""
    folder = lab.keeper.find(_model(lab, grid, seed).name)
    return None if folder is None else cells.model_of(folder)
