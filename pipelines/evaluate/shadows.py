"""Membership inference over many trainings: one shadow of one method is a cell of its own, kept when it is finished."""

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Split
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.methods import Fitting, Method
from pipelines.evaluate.settings import seed_of
from pipelines.evaluate.spec import HARNESS
from pipelines.evaluate.split import Data
from recsys.candidates import Backbone
from unlearning.audit import membership
from unlearning.audit.canaries import pick, plant
from unlearning.audit.membership import Trial
from unlearning.data.base import BackboneUnlearner

FILE = "logits.npy"

KINDS = ("people", "planted")
"""Real people by lot, and invented ones who are easy to memorise."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Which canaries are asked about, in how many shadow trainings."""

    kind: str
    canaries: int = 20
    shadows: int = membership.FEWEST
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LetheError(f"canaries {self.kind!r} are unknown: choose {' or '.join(KINDS)}")

    def trial(self, data: Data) -> Trial:
        """The canaries of the training rows, and the halves that each shadow has in."""
        training = data.log.only(Split.TRAIN)
        choose = pick if self.kind == "people" else plant
        found = choose(training, self.canaries, seed=self.seed)
        return membership.trial(found, seed=self.seed, shadows=self.shadows)


@dataclass(slots=True)
class Shadow:
    """One shadow of one method on one backbone."""

    data: Data
    inquiry: Inquiry
    fitting: Fitting
    method: Method
    number: int

    @property
    def name(self) -> str:
        """What it is kept as; the digits are a hash over everything that determines it."""
        told = [self.data.split.id, asdict(self.inquiry), self.fitting.backbone, dict(self.fitting.settings), HARNESS]
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        inquiry = f"{self.inquiry.kind}-{self.number}"
        return f"member-{self.fitting.backbone}-{self.method.name}-{inquiry}-{key[:12]}"


@dataclass(slots=True)
class Plain:
    """Plain fits of one shadow: methods that start from the same model, or end in the same oracle, share them."""

    fitting: Fitting
    guard: Guard
    held: dict[int, Any] = field(default_factory=dict)

    def fit(self, log: InteractionLog, seed: int) -> Backbone:
        """A copy of the model of this seed, which stands for the rows too: a shadow spends a seed once."""
        if seed not in self.held:
            self.held[seed] = self.fitting.fit(self.guard.training(log), seed=seed)
        model: Backbone = copy.deepcopy(self.held[seed])
        return model


def measure(shadow: Shadow, trial: Trial, plain: Plain, keeper: Keeper) -> None:
    """Train, forget, train the oracle, and keep the logits."""
    unlearner: BackboneUnlearner[Any] = shadow.method.make(shadow.fitting)

    def _fit(log: InteractionLog, seed: int) -> Backbone:
        if shadow.method.plain_fit:
            return plain.fit(log, seed)
        made: Backbone = unlearner.fit(plain.guard.training(log), seed=seed)
        return made

    def _forget(model: Backbone, before: InteractionLog, after: InteractionLog, seed: int) -> Backbone:
        made: Backbone = unlearner.forget(model, before, after, seed=seed_of(shadow.method.name, seed)).model
        return made

    logits = trial.run(shadow.number, _fit, _forget)
    facts = {"split": shadow.data.split.id}
    keeper.keep(shadow.name, lambda folder: np.save(folder / FILE, logits), facts)


def verdicts(keeper: Keeper, shadows: list[Shadow]) -> dict[str, Any] | None:
    """The audits of one method from all its shadows; None where some are not measured yet."""
    found = [keeper.find(shadow.name) for shadow in shadows]
    if None in found or not shadows:
        return None
    runs = np.stack([_load(folder) for folder in found if folder is not None])
    inquiry, seed = shadows[0].inquiry, shadows[0].inquiry.seed
    outcome = membership.combine(inquiry.trial(shadows[0].data), runs, seed=seed)
    told = [{**asdict(v), "passed": v.passed, "void": v.void} for v in outcome.verdicts()]
    first = {"backbone": shadows[0].fitting.backbone, "method": shadows[0].method.name, "canaries": inquiry.kind}
    return {
        **first,
        "too_weak": outcome.too_weak,
        "shadows": len(shadows),
        "pairs": outcome.pairs,
        "attacks": {state: asdict(getattr(outcome, state)) for state in membership.STATES},
        "verdicts": told,
    }


def _load(folder: Path) -> NDArray[np.float64]:
    return np.asarray(np.load(folder / FILE), dtype=np.float64)


def grouped(shadows: list[Shadow]) -> Iterator[list[Shadow]]:
    """The shadows of each backbone, kind of canary and method, by number."""
    found: dict[tuple[str, str, str], list[Shadow]] = {}
    for shadow in shadows:
        found.setdefault((shadow.fitting.backbone, shadow.inquiry.kind, shadow.method.name), []).append(shadow)
    for same in found.values():
        yield sorted(same, key=lambda shadow: shadow.number)
