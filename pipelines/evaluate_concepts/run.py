"""Runs the grid: methods by concepts by seeds, one seed of everything first; what is kept is never measured again."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from pipelines.evaluate_concepts.spec import BASE, FORKS, ORACLE, REPLICATE, Part, Spec, fit_settings, told_of
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
    oracles: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """By concept, the folders of checkpoints that were trained without it."""
    replicates: Sequence[Path] = ()
    """Folders of checkpoints that were trained as the base was, on everything, in another order."""
    popularity: Mapping[ItemId, float] | None = None
    vectors: Vectors | None = None
    settings: ConceptSettings = field(default_factory=ConceptSettings)
    ranking: parts.Ranks | None = None
    """Lists of real people, where they are asked for."""
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    fits: Fits = field(default_factory=Fits)
    subjects: dict[str, Subject] = field(default_factory=dict)
    forks: dict[str, tuple[LanguageModel, ...]] = field(default_factory=dict)
    others: tuple[LanguageModel, ...] | None = None

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

    def without(self, name: str) -> tuple[LanguageModel, ...]:
        """The checkpoints without a concept, read once; none where none was given."""
        if name not in self.forks:
            self.forks[name] = self._forks(self.oracles.get(name, ()), f"oracle of {name!r}")
        return self.forks[name]

    def again(self) -> tuple[LanguageModel, ...]:
        """The replicates, read once."""
        if self.others is None:
            self.others = self._forks(self.replicates, REPLICATE)
        return self.others

    def oracle(self, name: str) -> LanguageModel | None:
        """The first of them."""
        return next(iter(self.without(name)), None)

    def _forks(self, folders: Sequence[Path], role: str) -> tuple[LanguageModel, ...]:
        """The checkpoints in folders. Raises LetheError where one of them cannot stand beside the base in its role."""
        forks = tuple(load(str(folder), device=str(self.model.device)) for folder in folders)
        known = {self.model.fingerprint: "the base itself"}
        for folder, fork in zip(folders, forks, strict=True):
            if fork.fingerprint in known:
                raise LetheError(
                    f"{role}: {folder} is {known[fork.fingerprint]}: give a checkpoint of another training"
                )
            if fork.plain.get_vocab() != self.model.plain.get_vocab():
                raise LetheError(
                    f"{role}: {folder} has another vocabulary than {self.model.name}: give a fork of this base"
                )
            known[fork.fingerprint] = f"one model with {folder}"
        return forks


def run(lab: Lab, grid: Grid, *, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet. With `minutes`, none is begun that would likely end later."""
    until = None if minutes is None else time.monotonic() + minutes * 60
    unknown = sorted(lab.oracles.keys() - set(grid.concepts))
    if unknown:
        raise LetheError(f"an oracle of {unknown[0]!r}, which is not measured: add --concept {unknown[0]!r}")
    specs = plan(lab, grid)
    pairs = sorted(
        ((spec, name) for name, own in specs.items() for spec in own),
        key=lambda pair: (pair[0].seed, pair[0].method not in FORKS),
    )
    tasks = [_task(lab, grid, spec, name) for spec, name in pairs]
    return Outcome(specs, work(tasks, lab.keeper, lab.bars, until=until))


def plan(lab: Lab, grid: Grid) -> dict[str, tuple[Spec, ...]]:
    """Every cell of the grid, by concept."""
    return {name: tuple(_of_concept(lab, grid, name)) for name in grid.concepts}


def _of_concept(lab: Lab, grid: Grid, name: str) -> Iterator[Spec]:
    attacks = bool(set(grid.attacked) & set(grid.methods))
    if {fork.fingerprint for fork in lab.again()} & {fork.fingerprint for fork in lab.without(name)}:
        raise LetheError(f"a replicate is an oracle of {name!r} too: a replicate was trained on everything")
    for method, count in ((BASE, 1), (ORACLE, len(lab.without(name))), (REPLICATE, len(lab.again()))):
        for place in range(count):
            yield from _of_fit(lab, grid, name, (method, place, {}), attack=attacks and method != REPLICATE)
    for seed in range(max(grid.seeds, grid.draws)):
        for method, size in grid.wanted(seed):
            items = len(lab.subject(name, grid).concept.items)
            settings = told_of(replace(lab.settings, neurons=size), method, items)
            early = seed < grid.seeds
            fit = (method, seed, settings)
            yield from _of_fit(lab, grid, name, fit, attack=early and method in grid.attacked, rank=early)


def _of_fit(
    lab: Lab, grid: Grid, name: str, fit: tuple[str, int, Mapping[str, Any]], *, attack: bool, rank: bool = True
) -> Iterator[Spec]:
    """All parts of a method with a seed (of an oracle or replicate: with its place) and settings."""
    method, seed, settings = fit
    about = lab.subject(name, grid)
    there = (lab.model.fingerprint, about.slug, about.digest, method)
    forks = [fork.fingerprint for fork in lab.without(name)]
    own = ""
    if method in (ORACLE, REPLICATE):
        own = forks[seed] if method == ORACLE else lab.again()[seed].fingerprint
    others = [fork for fork in forks if fork != own]
    for part in parts.of_method(method, oracle=bool(others), attack=attack, rank=rank and lab.ranking is not None):
        reads = lab.ranking.key if lab.ranking is not None and part is Part.RANKED else ""
        reads += repr(grid.budget) if part is Part.ATTACKED else ""
        besides = [f"{own} {fork}".strip() for fork in others] if part is Part.DEEP else [reads + own]
        for other in besides:
            yield Spec(part, *there, settings=settings, seed=seed, other=other)


def _task(lab: Lab, grid: Grid, spec: Spec, name: str) -> Task:
    def _do(bar: Progress) -> None:
        about = lab.subject(name, grid)
        forgetting, facts = _forgetting(lab, spec, name, about, bar)
        case = Case(lab.model, forgetting, about, spec.seed, draw=grid.draw, budget=grid.budget)
        beside = next((fork for fork in lab.without(name) if fork.fingerprint == spec.beside), None)
        found = parts.measure(spec, case, oracle=beside, ranks=lab.ranking, progress=bar)
        kept = cells.Measured(found.rows, {**found.facts, **facts})
        cells.keep(lab.keeper, spec, kept, run=lab.run, machine=machine())

    like = f"{spec.concept} {spec.label} {spec.part.value}"
    return Task(spec.name, like, f"{name}: {spec.label} seed {spec.seed}, {spec.part.value}", _do)


def _forgetting(lab: Lab, spec: Spec, name: str, about: Subject, bar: Progress) -> tuple[Forgetting, dict[str, Any]]:
    if spec.method == BASE:
        return Fork(lab.model), {}
    if spec.method in (ORACLE, REPLICATE):
        forks = lab.without(name) if spec.method == ORACLE else lab.again()
        return Fork(forks[spec.seed]), {}
    method = make(spec.method, fit_settings(spec.settings))
    fitted = lab.fits.fitted(
        spec, lab.keeper, partial(method.fit, lab.model, about.lesson, seed=spec.seed, progress=bar)
    )
    return fitted.forgetting, {"fit_seconds": fitted.seconds, "bytes": fitted.size}
