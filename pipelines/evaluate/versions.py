"""What an old and a new generation give away beside each other: the audit of versions, for each method."""

import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from db import files
from db.records import Verdict
from pipelines.evaluate.fits import Fits
from pipelines.evaluate.guard import Stage
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.methods import ORACLE, Fitting, Method
from pipelines.evaluate.settings import read_document, seed_of
from pipelines.evaluate.spec import Spec
from pipelines.evaluate.world import World
from recsys.candidates import Backbone
from unlearning.audit import versions
from unlearning.data.base import Progress, quiet

FILE = "verdict.json"

OTHERS = 5
"""People who stayed for each one who was forgotten, in the line-up."""


def name(spec: Spec) -> str:
    """What the verdict on a method is kept as."""
    return f"versions-{spec.backbone}-{spec.method}-{spec.protocol.name}-{spec.key[:12]}"


@dataclass(slots=True)
class Versions:
    """One backbone under one protocol of whole people, with one seed. Its methods share the oracles and the control."""

    world: World
    plain: Method
    """A method that starts from a plain fit."""
    oracles: int = 3
    held: list[Backbone] = field(default_factory=list)
    """The control, a retraining with the old generation's very seed, and then the oracles."""

    def measure(self, spec: Spec, method: Method, fits: Fits, *, progress: Progress = quiet) -> Verdict:
        """Fit, forget, and compare the two generations; the oracles are trained for the first method."""
        world, log = self.world, self.world.training
        fitting = Fitting(spec.backbone, spec.settings)
        after = world.guard_after.training(world.training_after(len(world.forgetting.requests)), Stage.RETRAINING)
        if not self.held:
            own = [seed_of("versions", ORACLE, spec.backbone, spec.protocol.name, n) for n in range(self.oracles)]
            seeds = [seed_of("fit", spec.backbone, spec.seed), *own]
            self.held += [fitting.fit(after, seed=seed, progress=progress) for seed in seeds]
        _, first, _ = fits.fitted(self.plain, fitting, log, seed=spec.seed, progress=progress)
        unlearner, old, _ = fits.fitted(method, fitting, log, seed=spec.seed, progress=progress)
        seed = seed_of("versions", method.name, spec.seed)
        new = unlearner.forget(copy.deepcopy(old), log, after, seed=seed, progress=progress).model
        models = versions.Generations((old, new), self.held[1:], (first, self.held[0]))
        return versions.verdict(lineup(world, seed=spec.protocol.draw), models, seed=spec.seed)


def keep(keeper: Keeper, spec: Spec, found: Verdict) -> None:
    """Put a verdict in place."""
    about = {"backbone": spec.backbone, "protocol": spec.protocol.name, "method": spec.method}
    document = {**about, **asdict(found), "passed": found.passed, "void": found.void}
    keeper.keep(name(spec), lambda folder: files.write_json(folder / FILE, document), {"split": spec.split})


def lineup(world: World, *, seed: int) -> versions.Lineup:
    """The forgotten among people by lot who stayed; people with fewer than two items are left out."""
    histories = world.training.histories()
    able = np.array([len(np.unique(h)) >= 2 for h in histories], dtype=np.bool_)
    gone = world.forgetting.people[able[world.forgetting.people]]
    stayed = np.setdiff1d(np.flatnonzero(able), np.union1d(gone, world.forgetting.touched))
    drawn = np.random.default_rng(seed).permutation(stayed)[: OTHERS * len(gone)]
    people = np.concatenate([gone, drawn])
    return versions.Lineup([histories[row] for row in people.tolist()], np.arange(len(people)) < len(gone))


def load(keeper: Keeper, spec: Spec) -> dict[str, Any] | None:
    """A kept verdict with what it is about, or None."""
    folder = keeper.find(name(spec))
    return None if folder is None else read_document(folder / FILE)
