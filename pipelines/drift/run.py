"""Runs every perturbation with every scorer on every model, as served first; what is kept is never measured again."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import polars as pl

from db.errors import LetheError
from db.records import Item
from llm.model import LanguageModel
from pipelines.concepts.serve import Forgotten
from pipelines.drift import cells
from pipelines.drift.instances import Kind, digest, instances
from pipelines.drift.measure import Embed, Make, scored, spoken
from pipelines.drift.requests import Asking, Request
from pipelines.drift.spec import FREE, SCORERS, Spec
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.run import machine
from pipelines.evaluate.tasks import Bars, Done, Task, work
from unlearning.concept.base import Progress


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be measured."""

    scorers: tuple[str, ...] = SCORERS
    kinds: tuple[Kind, ...] = tuple(Kind)
    draws: int = 3
    """Instances of what is drawn: orders, typos, synonyms, words out of place."""
    seed: int = 0
    quick: bool = False
    """Whether the figures are no results."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.scorers if name not in SCORERS]
        if unknown or not self.scorers:
            told = f"scorer {unknown[0]!r} is unknown" if unknown else "no scorer was named"
            raise LetheError(f"{told}: choose among {', '.join(SCORERS)}")
        if len(set(self.scorers)) < len(self.scorers):
            raise LetheError(f"scorers {', '.join(self.scorers)}: name each once")
        if self.draws < 1:
            raise LetheError(f"{self.draws} draws: give 1 or more")


@dataclass(slots=True)
class Lab:
    """What all cells of a run share."""

    model: LanguageModel
    split: str
    asking: Asking
    requests: tuple[Request, ...]
    keeper: Keeper
    bars: Bars
    make: Mapping[str, Make]
    """By the name of a scorer."""
    embed: Embed
    items: tuple[Item, ...] = ()
    """The catalogue in row order."""
    epoch: int = 0
    """Data epoch of the rows that the requests come from."""
    forgotten: Forgotten = field(default_factory=Forgotten)
    """With the adapters that are attached."""
    adapters: Mapping[str, str] = field(default_factory=dict)
    """By concept, the hash of its adapter."""
    run: str = field(default_factory=lambda: secrets.token_hex(6))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cells of a run, and how far it came."""

    specs: tuple[Spec, ...]
    done: Done


def run(lab: Lab, wish: Wish, *, minutes: float | None = None) -> Outcome:
    """Measure every cell that is not kept yet. With `minutes`, none is begun that would likely end later."""
    until = None if minutes is None else time.monotonic() + minutes * 60
    specs = plan(lab, wish)
    return Outcome(tuple(specs), work([_task(lab, wish, spec) for spec in specs], lab.keeper, lab.bars, until=until))


def plan(lab: Lab, wish: Wish) -> list[Spec]:
    """Every cell: as served first, then kind by kind, on the base before any adapter."""
    kinds = dict.fromkeys((Kind.SERVED, *wish.kinds))
    concepts = (None, *lab.adapters)
    return [_spec(lab, wish, one, scorer, kind) for scorer in wish.scorers for kind in kinds for one in concepts]


def _spec(lab: Lab, wish: Wish, concept: str | None, scorer: str, kind: Kind) -> Spec:
    return Spec(
        split=lab.split,
        model=lab.model.fingerprint,
        concept=concept,
        adapter="" if concept is None else lab.adapters[concept],
        scorer=scorer,
        asking=asdict(lab.asking),
        kind=kind,
        done=digest(instances(kind, draws=wish.draws, seed=wish.seed)),
    )


def _task(lab: Lab, wish: Wish, spec: Spec) -> Task:
    def _do(bar: Progress) -> None:
        made = instances(spec.kind, draws=wish.draws, seed=wish.seed)
        with lab.forgotten.serving([] if spec.concept is None else [spec.concept]):
            if spec.scorer == FREE:
                served = _served(lab, wish, spec)
                found = spoken(lab.model, lab.requests, made, bar, embed=lab.embed, reference=served)
            else:
                found = scored(lab.make[spec.scorer], lab.model, lab.requests, made, bar)
        cells.keep(lab.keeper, spec, found, run=lab.run, machine=machine())

    return Task(spec.name, f"{spec.scorer} {spec.kind}", f"{spec.scorer}, {spec.kind}, {spec.state}", _do)


def _served(lab: Lab, wish: Wish, spec: Spec) -> pl.DataFrame | None:
    """The answers as served, which the others are compared with; None where they are what is measured."""
    if spec.kind is Kind.SERVED:
        return None
    found = cells.load(lab.keeper, _spec(lab, wish, spec.concept, spec.scorer, Kind.SERVED))
    if found is None:
        raise LetheError("the answers as served are not kept: run the same command again")
    return found
