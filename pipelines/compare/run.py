"""Runs arms by surfaces by concepts by seeds; what is kept is never measured again, and arms share what they share."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from db.errors import LetheError
from pipelines.compare import cells
from pipelines.compare.arms import Arm
from pipelines.compare.case import Case, Embed, Make
from pipelines.compare.spec import Scope, Spec
from pipelines.compare.surfaces import SURFACES, Surface
from pipelines.compare.world import World
from pipelines.evaluate.methods import VECTORS
from pipelines.evaluate.run import machine
from pipelines.evaluate.tasks import Done, Task, work
from pipelines.evaluate_concepts.grid import Grid
from pipelines.evaluate_concepts.run import Lab as Concepts
from pipelines.evaluate_concepts.spec import Part, fit_settings, told_of
from pipelines.evaluate_concepts.spec import Spec as Fit
from unlearning.concept.base import Forgetting, Progress
from unlearning.concept.evaluate import Fork
from unlearning.concept.methods import make


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be measured."""

    arms: tuple[Arm, ...]
    surfaces: tuple[str, ...] = tuple(SURFACES)
    seeds: int = 3
    """Of whatever is trained; what is not is measured once."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.surfaces if name not in SURFACES]
        if unknown:
            raise LetheError(f"surface {unknown[0]!r} is unknown: choose among {', '.join(SURFACES)}")
        if self.seeds < 1:
            raise LetheError(f"{self.seeds} seeds: give 1 or more")


@dataclass(slots=True)
class Lab:
    """What all cells of a run share: the concepts with models and oracles, and the people with their search."""

    concepts: Concepts
    grid: Grid
    """Names of the concepts, and how much is asked of them."""
    world: World
    make: Make
    embed: Embed
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    held: dict[tuple[object, ...], Case] = field(default_factory=dict)
    """The last case: its lists serve several surfaces."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of a table: an arm at a surface, with the cells of its seeds; none where an oracle is missing."""

    concept: str
    scope: Scope
    surface: Surface
    arm: Arm
    specs: tuple[Spec, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Every line, and how far the run came."""

    planned: tuple[Planned, ...]
    done: Done


def run(lab: Lab, wish: Wish, *, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet. With `minutes`, none is begun that would likely end later."""
    until = None if minutes is None else time.monotonic() + minutes * 60
    check(lab.grid.concepts, lab.concepts.oracles)
    planned = tuple(plan(lab, wish))
    tasks: dict[str, Task] = {}
    for one, spec in sorted(_each(planned), key=_order):
        tasks.setdefault(spec.name, _task(lab, one, spec))
    return Outcome(planned, work(list(tasks.values()), lab.concepts.keeper, lab.concepts.bars, until=until))


def check(concepts: tuple[str, ...], oracles: Mapping[str, Sequence[Path]]) -> None:
    """Raises LetheError for an oracle of a concept that is not measured, and for more than one of a concept."""
    unknown = sorted(oracles.keys() - set(concepts))
    if unknown:
        raise LetheError(f"an oracle of {unknown[0]!r}, which is not measured: add --concept {unknown[0]!r}")
    several = sorted(name for name, folders in oracles.items() if len(folders) > 1)
    if several:
        raise LetheError(f"{len(oracles[several[0]])} oracles of {several[0]!r}: arms are compared with one, give one")


@dataclass(frozen=True, slots=True)
class _Place:
    """A concept with what the cells about it are keyed by, worked out once."""

    name: str
    slug: str
    digest: str
    lists: str
    models: tuple[str, str | None]
    """Fingerprints of the base and of the fork."""
    items: int
    """How many the concept has."""


def plan(lab: Lab, wish: Wish) -> Iterator[Planned]:
    """Every line of every table, in order."""
    lists = lab.world.digest
    for name in lab.grid.concepts:
        subject, oracle = lab.concepts.subject(name, lab.grid), lab.concepts.oracle(name)
        lab.world.crowd(subject.concept)
        models = (lab.concepts.model.fingerprint, oracle.fingerprint if oracle else None)
        place = _Place(name, subject.slug, subject.digest, lists, models, len(subject.concept.items))
        for surface in (SURFACES[one] for one in wish.surfaces):
            for scope in surface.scopes:
                for arm in wish.arms:
                    specs = tuple(_specs(lab, wish, place, (surface, scope), arm.read(surface.reads)))
                    yield Planned(name, scope, surface, arm, specs)


def _specs(lab: Lab, wish: Wish, place: _Place, where: tuple[Surface, Scope], arm: Arm) -> Iterator[Spec]:
    (surface, scope), (base, fork) = where, place.models
    if arm.fork and fork is None:
        if not surface.settled:
            return
        arm = replace(arm, fork=False)
    varies = arm.fitted or (surface.lists and "erases" in surface.reads and lab.world.fitting.backbone in VECTORS)
    for seed in range(wish.seeds if varies else 1):
        yield Spec(
            concept=place.slug,
            subject=place.digest,
            surface=surface.name,
            scope=scope,
            arm=arm,
            model=(fork or base if arm.fork else base) if surface.models else "",
            settings=told_of(lab.concepts.settings, arm.method, place.items) if arm.fitted else {},
            lists=place.lists if surface.lists else "",
            seed=seed,
        )


def _each(planned: tuple[Planned, ...]) -> Iterator[tuple[Planned, Spec]]:
    return ((one, spec) for one in planned for spec in one.specs)


def _order(pair: tuple[Planned, Spec]) -> tuple[object, ...]:
    """One seed of everything first; what reads the same model, and then the same lists, comes together."""
    one, spec = pair
    arm = spec.arm
    return spec.seed, one.concept, arm.fitted, arm.method, arm.fork, arm.hides, arm.erases, spec.scope, spec.lists


def _task(lab: Lab, one: Planned, spec: Spec) -> Task:
    def _do(bar: Progress) -> None:
        case, facts = _case(lab, one, spec, bar)
        started, case.unusable = time.perf_counter(), 0
        found = one.surface.measure(case)
        cost = {**facts, "seconds": time.perf_counter() - started}
        told = {**cost, "unusable": case.unusable, "about": _about(lab, one.concept)}
        cells.keep(lab.concepts.keeper, spec, found, told, run=lab.run, machine=machine())

    whose = "" if one.scope is Scope.EVERYBODY else f", {one.scope}"
    label = f"{one.concept}: {one.surface.name}{whose}, {one.arm.name} seed {spec.seed}"
    return Task(spec.name, f"{one.concept} {one.surface.name} {spec.arm.method}", label, _do)


def _about(lab: Lab, concept: str) -> dict[str, Any]:
    """What a reader of a cell alone could not know of the run: people, lists and whether it was a quick one."""
    world, crowd = lab.world, lab.world.crowd(lab.concepts.subject(concept, lab.grid).concept)
    return {
        "split": {"name": world.data.split.name, "id": world.data.split.id},
        "backbone": world.fitting.backbone,
        "lists": asdict(world.how),
        "people": len(crowd.rows),
        "asking": int(crowd.asks.sum()),
        "quick": lab.grid.quick,
    }


def _case(lab: Lab, one: Planned, spec: Spec, bar: Progress) -> tuple[Case, dict[str, float]]:
    key = (one.concept, spec.scope, spec.arm, spec.seed)
    forgetting, facts = _forgetting(lab, one.concept, spec, bar)
    if key not in lab.held:
        lab.held.clear()
        oracle = lab.concepts.oracle(one.concept) if spec.arm.fork else None
        lab.held[key] = Case(
            arm=spec.arm,
            scope=spec.scope,
            subject=lab.concepts.subject(one.concept, lab.grid),
            world=lab.world,
            plain=lab.concepts.model,
            base=oracle or lab.concepts.model,
            forgetting=forgetting,
            make=lab.make,
            embed=lab.embed,
            seed=spec.seed,
        )
    return lab.held[key], facts


def _forgetting(lab: Lab, concept: str, spec: Spec, bar: Progress) -> tuple[Forgetting, dict[str, float]]:
    """What the arm applies to its language model; a fit serves every surface that reads it."""
    model, oracle = lab.concepts.model, lab.concepts.oracle(concept)
    if not spec.arm.method:
        return Fork(oracle if spec.arm.fork and oracle is not None else model), {}
    fit = Fit(Part.EXAMINED, model.fingerprint, spec.concept, spec.subject, spec.arm.method, spec.settings, spec.seed)
    method = make(spec.arm.method, fit_settings(spec.settings))
    lesson = lab.concepts.subject(concept, lab.grid).lesson
    own = partial(method.fit, model, lesson, seed=spec.seed, progress=bar)
    fitted = lab.concepts.fits.fitted(fit, lab.concepts.keeper, own)
    return fitted.forgetting, {"fit_seconds": fitted.seconds}
