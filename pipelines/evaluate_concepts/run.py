"""Runs the grid: methods by concepts by seeds, one seed of everything first; what is kept is never measured again."""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from db.errors import LetheError
from db.records import Item, ItemId
from llm.model import LanguageModel, load
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.run import machine
from pipelines.evaluate.tasks import Bars, Done, Task, work
from pipelines.evaluate_concepts import cells, parts
from pipelines.evaluate_concepts.fits import Fits
from pipelines.evaluate_concepts.grid import Grid
from pipelines.evaluate_concepts.measures import Case
from pipelines.evaluate_concepts.spec import BASE, ORACLE, Part, Spec
from pipelines.evaluate_concepts.subject import Subject, named, subject
from unlearning.concept.base import Forgetting, Progress
from unlearning.concept.evaluate import Fork
from unlearning.concept.methods import make
from unlearning.concept.nearest import Vectors
from unlearning.concept.settings import ConceptSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cells of a grid by concept, and how far the run came."""

    specs: Mapping[str, tuple[Spec, ...]]
    done: Done


@dataclass(slots=True)
class Lab:
    """What all cells of a run share."""

    model: LanguageModel
    catalogue: tuple[Item, ...]
    keeper: Keeper
    bars: Bars
    oracles: Mapping[str, Path] = field(default_factory=dict)
    """By concept, the folder of the checkpoint that was trained without it."""
    popularity: Mapping[ItemId, float] | None = None
    vectors: Vectors | None = None
    settings: ConceptSettings = field(default_factory=ConceptSettings)
    ranking: parts.Ranks | None = None
    """Lists of real people, where they are asked for."""
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    fits: Fits = field(default_factory=Fits)
    subjects: dict[str, Subject] = field(default_factory=dict)
    forks: dict[str, LanguageModel] = field(default_factory=dict)

    def subject(self, name: str, grid: Grid) -> Subject:
        """A concept with its questions, made once."""
        if name not in self.subjects:
            self.subjects[name] = subject(
                named(name, self.catalogue),
                self.catalogue,
                seed=grid.draw,
                sizes=grid.sizes,
                popularity=self.popularity,
                vectors=self.vectors,
            )
        return self.subjects[name]

    def oracle(self, name: str) -> LanguageModel | None:
        """The checkpoint without a concept, read once; None where none was given."""
        if name not in self.oracles:
            return None
        if name not in self.forks:
            self.forks[name] = _checked(load(str(self.oracles[name]), device=str(self.model.device)), self.model, name)
        return self.forks[name]


def _checked(fork: LanguageModel, base: LanguageModel, name: str) -> LanguageModel:
    if fork.fingerprint == base.fingerprint:
        raise LetheError(f"the oracle of {name!r} is the base itself: give the checkpoint trained without the concept")
    if fork.plain.get_vocab() != base.plain.get_vocab():
        raise LetheError(f"the oracle of {name!r} has another vocabulary than {base.name}: give a fork of this base")
    return fork


def run(lab: Lab, grid: Grid, *, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet. With `minutes`, none is begun that would likely end later."""
    until = None if minutes is None else time.monotonic() + minutes * 60
    unknown = sorted(lab.oracles.keys() - set(grid.concepts))
    if unknown:
        raise LetheError(f"an oracle of {unknown[0]!r}, which is not measured: add --concept {unknown[0]!r}")
    specs = plan(lab, grid)
    pairs = sorted(
        ((spec, name) for name, own in specs.items() for spec in own),
        key=lambda pair: (pair[0].seed, pair[0].method not in (BASE, ORACLE)),
    )
    tasks = [_task(lab, grid, spec, name) for spec, name in pairs]
    return Outcome(specs, work(tasks, lab.keeper, lab.bars, until=until))


def plan(lab: Lab, grid: Grid) -> dict[str, tuple[Spec, ...]]:
    """Every cell of the grid, by concept."""
    return {name: tuple(_of_concept(lab, grid, name)) for name in grid.concepts}


def _of_concept(lab: Lab, grid: Grid, name: str) -> Iterator[Spec]:
    oracle = lab.oracle(name)
    attacks = bool(set(grid.attacked) & set(grid.methods))
    for method in (BASE, *((ORACLE,) if oracle else ())):
        for part in parts.of_method(method, oracle=False, attack=attacks, rank=lab.ranking is not None):
            yield _spec(lab, grid, name, (part, method, 0, {}))
    for seed in range(max(grid.seeds, grid.draws)):
        for method, size in grid.wanted(seed):
            settings = {**asdict(lab.settings), "neurons": size}
            early = seed < grid.seeds
            attack, rank = early and method in grid.attacked, early and lab.ranking is not None
            for part in parts.of_method(method, oracle=oracle is not None, attack=attack, rank=rank):
                yield _spec(lab, grid, name, (part, method, seed, settings))


def _spec(lab: Lab, grid: Grid, name: str, which: tuple[Part, str, int, Mapping[str, Any]]) -> Spec:
    part, method, seed, settings = which
    about, oracle = lab.subject(name, grid), lab.oracle(name)
    reads = lab.ranking.key if lab.ranking is not None and part is Part.RANKED else ""
    if part is Part.ATTACKED:
        reads += repr(grid.budget)
    if oracle is not None and (method == ORACLE or part is Part.DEEP):
        reads += oracle.fingerprint
    there = (lab.model.fingerprint, about.slug, about.digest, method)
    return Spec(part, *there, settings=settings, seed=seed, other=reads)


def _task(lab: Lab, grid: Grid, spec: Spec, name: str) -> Task:
    def _do(bar: Progress) -> None:
        about = lab.subject(name, grid)
        forgetting, facts = _forgetting(lab, spec, name, about, bar)
        case = Case(lab.model, forgetting, about, spec.seed, draw=grid.draw, budget=grid.budget)
        found = parts.measure(spec, case, oracle=lab.oracle(name), ranks=lab.ranking, progress=bar)
        kept = cells.Measured(found.rows, {**found.facts, **facts})
        cells.keep(lab.keeper, spec, kept, run=lab.run, machine=machine())

    like = f"{spec.concept} {spec.label} {spec.part.value}"
    return Task(spec.name, like, f"{name}: {spec.label} seed {spec.seed}, {spec.part.value}", _do)


def _forgetting(lab: Lab, spec: Spec, name: str, about: Subject, bar: Progress) -> tuple[Forgetting, dict[str, Any]]:
    if spec.method == BASE:
        return Fork(lab.model), {}
    oracle = lab.oracle(name)
    if spec.method == ORACLE and oracle is not None:
        return Fork(oracle), {}
    method = make(spec.method, ConceptSettings(**spec.settings))
    fitted = lab.fits.fitted(
        spec, lab.keeper, partial(method.fit, lab.model, about.lesson, seed=spec.seed, progress=bar)
    )
    return fitted.forgetting, {"fit_seconds": fitted.seconds, "bytes": fitted.size}
