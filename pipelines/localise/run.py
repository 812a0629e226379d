"""Looks into every part on every model; what is kept is never measured again."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from db.errors import LetheError
from llm.prompt import Wording
from pipelines.drift.run import Lab
from pipelines.evaluate.run import machine
from pipelines.evaluate.tasks import Done, Task, work
from pipelines.localise import cells, directions, maps, overlaps
from pipelines.localise.asked import WORDINGS, Asked
from pipelines.localise.cells import Found
from pipelines.localise.spec import Part, Spec
from unlearning.concept.base import Probe, Progress


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be looked into."""

    seed: int = 0
    neurons: int = 64
    """The most salient ones that are compared between wordings and between classes."""
    concepts: Mapping[str, Sequence[Probe]] = field(default_factory=dict)
    """By name, contrast prompts of concepts whose gradients are looked into."""
    wordings: Mapping[str, Wording] = field(default_factory=lambda: WORDINGS)
    """The served one first."""
    quick: bool = False
    """Whether the figures are no results."""

    def __post_init__(self) -> None:
        if self.neurons < 1:
            raise LetheError(f"{self.neurons} neurons: give 1 or more")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The parts of a run, and how far it came."""

    specs: tuple[Spec, ...]
    done: Done


def run(lab: Lab, wish: Wish, *, minutes: float | None = None) -> Outcome:
    """Measure every part that is not kept yet. With `minutes`, none is begun that would likely end later."""
    until = None if minutes is None else time.monotonic() + minutes * 60
    specs = tuple(plan(lab, wish))
    return Outcome(specs, work([_task(lab, wish, spec) for spec in specs], lab.keeper, lab.bars, until=until))


def plan(lab: Lab, wish: Wish) -> Iterator[Spec]:
    """Every part on the base, then on the model without each concept."""
    for concept in (None, *lab.adapters):
        for part in (Part.OVERLAP, Part.MAPS):
            yield _spec(lab, wish, part, concept)
        for about in wish.concepts:
            yield _spec(lab, wish, Part.DIRECTIONS, concept, about)


def _spec(lab: Lab, wish: Wish, part: Part, concept: str | None, about: str = "") -> Spec:
    prompts = repr([asdict(one) for one in wish.concepts[about]]) if about else ""
    settings: dict[str, Any] = {"seed": wish.seed}
    if part is not Part.DIRECTIONS:
        worded = repr([(name, asdict(one)) for name, one in wish.wordings.items()])
        settings |= {"neurons": wish.neurons, "wordings": hashlib.sha256(worded.encode()).hexdigest()}
    return Spec(
        part,
        split=lab.split,
        model=lab.model.fingerprint,
        concept=concept,
        adapter="" if concept is None else lab.adapters[concept],
        asking=asdict(lab.asking),
        settings=settings,
        about=f"{about} {hashlib.sha256(prompts.encode()).hexdigest()}" if about else "",
    )


def _task(lab: Lab, wish: Wish, spec: Spec) -> Task:
    def _do(bar: Progress) -> None:
        with lab.forgotten.serving([] if spec.concept is None else [spec.concept]):
            found = _MEASURES[spec.part](lab, wish, spec, bar)
        cells.keep(lab.keeper, spec, found, run=lab.run, machine=machine())

    return Task(spec.name, spec.part.value, f"{spec.part}, {spec.state}", _do)


def _overlap(lab: Lab, wish: Wish, spec: Spec, bar: Progress) -> Found:
    asked = Asked(lab.requests)
    rows, layers = overlaps.measured(lab.model, asked, wish.wordings, seed=wish.seed, progress=bar)
    return Found({"layers": layers}, rows)


def _maps(lab: Lab, wish: Wish, spec: Spec, bar: Progress) -> Found:
    traced = maps.traced(lab.model, Asked(lab.requests), wish.wordings, bar)
    found = {
        "layers": maps.by_layer(traced, seed=wish.seed),
        "heads": maps.top_heads(traced),
        "shared": dict(maps.shared(traced, wish.neurons)),
    }
    return Found(found, maps.frames(traced))


def _directions(lab: Lab, wish: Wish, spec: Spec, bar: Progress) -> Found:
    name = concept_of(spec)
    layers = directions.measured(lab.model, wish.concepts[name], seed=wish.seed, progress=bar)
    return Found({"concept": name, "layers": layers}, pl.DataFrame(layers))


def concept_of(spec: Spec) -> str:
    """The concept whose gradients a part looks into."""
    return spec.about.rpartition(" ")[0]


_MEASURES = {Part.OVERLAP: _overlap, Part.MAPS: _maps, Part.DIRECTIONS: _directions}
