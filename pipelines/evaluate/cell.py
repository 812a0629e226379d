"""One cell: fit, forget, time both, ask everybody. A pure function of its spec and the data, but for the times."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pipelines.evaluate.answers import View, answer, frame
from pipelines.evaluate.cost import Cost, measured
from pipelines.evaluate.fits import Fits
from pipelines.evaluate.guard import Stage
from pipelines.evaluate.methods import ORACLE, Fitting, Method
from pipelines.evaluate.rerank import Reranker
from pipelines.evaluate.settings import seed_of
from pipelines.evaluate.spec import Spec
from pipelines.evaluate.world import Asked, World
from recsys.candidates import Backbone
from unlearning.data.base import BackboneUnlearner, Progress, quiet

BEFORE, AFTER = "before", "after"

SAMPLED = 100
"""People whose scores are compared with a refit's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a cell leaves: one row a person, phase and view, and what is known of the whole."""

    people: pl.DataFrame
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """What every step of one cell reads."""

    spec: Spec
    world: World
    fitting: Fitting
    reranker: Reranker | None
    progress: Progress


@dataclass(slots=True)
class Course:
    """How forgetting went, request by request."""

    model: Backbone
    exact: bool = True
    hide_seconds: list[float] = field(default_factory=list)
    forget_seconds: list[float] = field(default_factory=list)
    forget_cpu_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    facts: dict[str, int | float | str] = field(default_factory=dict)


def measure(
    spec: Spec,
    world: World,
    method: Method | None,
    fits: Fits,
    *,
    reranker: Reranker | None = None,
    progress: Progress = quiet,
) -> Measured:
    """Measure one cell; `method` is None for the oracle."""
    case = Case(spec, world, Fitting(spec.backbone, spec.settings), reranker, progress)
    if method is None:
        return _oracle(case)
    unlearner, model, fit = fits.fitted(method, case.fitting, world.training, seed=spec.seed, progress=progress)
    frames = [_frame(model, world.before, world, BEFORE, View.SERVED)]
    course = Course(model)
    for number in range(len(world.forgetting.requests)):
        _forget(course, case, method, unlearner, number)
    if method.hides:
        frames += _asked_after(course.model, world)
    else:
        frames += [
            _frame(course.model, world.before, world, AFTER, View.SERVED),
            _frame(course.model, world.returned, world, AFTER, View.RETURNED),
        ]
    facts = {**_told(course), "fit": asdict(fit), "hides": method.hides}
    if spec.backbone in method.equals_refit:
        facts["score_gap"] = _score_gap(course.model, case, seed=seed_of("gap", spec.seed))
    return _whole(case, course.model, frames, facts, hides=method.hides)


def _oracle(case: Case) -> Measured:
    spec, world = case.spec, case.world
    kept = world.guard_after.training(world.training_after(len(world.forgetting.requests)), Stage.RETRAINING)
    seed = seed_of(ORACLE, spec.backbone, spec.protocol.name, spec.protocol.draw, spec.seed)
    with measured() as cost:
        model = case.fitting.fit(kept, seed=seed, progress=case.progress)
    facts = {"fit": asdict(cost), "exact": True, "hides": True}
    return _whole(case, model, _asked_after(model, world), facts, hides=True)


def _forget(course: Course, case: Case, method: Method, unlearner: BackboneUnlearner[Any], number: int) -> None:
    spec, world = case.spec, case.world
    before = world.training_after(number)
    with measured() as hidden:
        after = world.training_after(number + 1)
    if method.hides:
        world.guard_of(number + 1).training(after, Stage.RETRAINING)
    seed = seed_of("forget", method.name, spec.backbone, spec.protocol.name, spec.protocol.draw, spec.seed, number)
    with measured() as cost:
        done = unlearner.forget(course.model, before, after, seed=seed, progress=case.progress)
    course.model, course.exact = done.model, course.exact and done.exact
    course.hide_seconds.append(hidden.seconds)
    course.forget_seconds.append(cost.seconds)
    course.forget_cpu_seconds.append(cost.cpu_seconds)
    course.peak_mb = max(course.peak_mb, cost.peak_mb)
    course.facts = dict(done.facts)


def _asked_after(model: Backbone, world: World) -> list[pl.DataFrame]:
    return [
        _frame(model, world.after, world, AFTER, View.SERVED),
        _frame(model, world.gone, world, AFTER, View.SERVED),
        _frame(model, world.returned, world, AFTER, View.RETURNED),
    ]


def _frame(model: Backbone, asked: Asked, world: World, phase: str, view: View) -> pl.DataFrame:
    answers = answer(model, asked.floor, asked.questions)
    return frame(answers, world.data.log.users, world.audience, phase=phase, view=view)


def _told(course: Course) -> dict[str, Any]:
    return {
        "exact": course.exact,
        "hide_seconds": course.hide_seconds,
        "forget_seconds": course.forget_seconds,
        "forget_cpu_seconds": course.forget_cpu_seconds,
        "forget_peak_mb": course.peak_mb,
        "method": course.facts,
    }


def _whole(case: Case, model: Backbone, frames: list[pl.DataFrame], facts: dict[str, Any], *, hides: bool) -> Measured:
    world = case.world
    if case.reranker is not None and case.spec.rerank is not None:
        asked, guard = (world.after, world.guard_after) if hides else (world.staying, world.guard)
        weight = float(case.spec.rerank["weight"])
        with measured() as cost:
            answers, origins = case.reranker.answer(model, asked, guard, weight=weight, progress=case.progress)
        frames.append(frame(answers, world.data.log.users, world.audience, phase=AFTER, view=View.RERANKED))
        facts["rerank"] = {**_seconds(cost), "people": len(answers.lists), "origins": origins}
    facts |= {"requests": len(world.forgetting.requests), "forgotten_rows": _forgotten_rows(world)}
    facts |= {"forgotten_people": len(world.forgetting.people), "touched_people": len(world.forgetting.touched)}
    return Measured(pl.concat(frames), facts)


def _seconds(cost: Cost) -> dict[str, float]:
    return {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds}


def _forgotten_rows(world: World) -> int:
    return sum(len(rows) for rows in world.forgetting.requests)


def _score_gap(model: Backbone, case: Case, *, seed: int) -> float:
    """max |ΔS| against a refit on the rows that stay, over some people who stay."""
    world = case.world
    refit = case.fitting.fit(world.training_after(len(world.forgetting.requests)), seed=seed)
    histories = [h for h in world.after.questions.histories if len(h)]
    chosen = np.random.default_rng(seed).permutation(len(histories))[:SAMPLED].tolist()
    shown = [histories[place] for place in chosen]
    return float(np.abs(model.scores(shown) - refit.scores(shown)).max(initial=0.0))
