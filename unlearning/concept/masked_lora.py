"""Masked LoRA: choose where the concept sits, and teach an adapter confined to that place not to know it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from llm.adapter_file import AdapterFile, lora_config
from llm.adapters import make_canary, remove, using
from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Probe, ProbeKind, Progress, Use, quiet
from unlearning.concept.choosing import Choice, choose
from unlearning.concept.confined import Averaged, Confined, confine, modules_of
from unlearning.concept.in_training import NAME
from unlearning.concept.objective import Goal, Teacher, Together
from unlearning.concept.recall import recall
from unlearning.concept.relearner import relearner
from unlearning.concept.settings import AVERAGED, ConceptSettings
from unlearning.concept.study import Study, study
from unlearning.concept.trained import TrainedAdapter, with_facts, write_card

MOST_CHECKED = 96
"""Selecting probes of each side that a check asks."""


@dataclass(frozen=True, slots=True)
class Check:
    """How far forgetting has come on selecting probes: mean probability of the answers, and share answered exactly."""

    step: int
    forgotten: float
    leaked: float
    kept: float
    kept_exact: float
    near: float
    """Of near neighbours, the share answered exactly; 0 where none are asked."""

    def regret(self, before: "Check") -> float:
        """0 where all is forgotten and nothing else lost; what is lost counts twice."""
        lost = (before.kept - self.kept, before.kept_exact - self.kept_exact, before.near - self.near)
        return self.forgotten + self.leaked + 2 * max(0.0, *lost)


@dataclass(frozen=True, slots=True)
class Watch:
    """The selecting probes by which a fit is stopped."""

    forget: tuple[Probe, ...]
    keep: tuple[Probe, ...]
    near: tuple[Probe, ...]

    @classmethod
    def of(cls, lesson: Lesson, seed: int) -> "Watch":
        """A draw from the lesson's selecting probes; the training ones where there are none."""
        rng = np.random.default_rng([seed, 17])
        forget, kept = (part(Use.SELECT) or part(Use.TRAIN) for part in (lesson.probes.forgotten, lesson.probes.kept))
        near = [probe for probe in kept if probe.kind is ProbeKind.NEIGHBOUR]
        far = [probe for probe in kept if probe.kind is not ProbeKind.NEIGHBOUR]
        pools = (list(forget), far or near, near)
        return cls(*(tuple(pool[at] for at in rng.permutation(len(pool))[:MOST_CHECKED]) for pool in pools))

    def check(self, model: LanguageModel, step: int) -> Check:
        """Ask the model as it stands."""
        forget, keep = recall(model, self.forget), recall(model, self.keep)
        near = recall(model, self.near).accuracy if self.near else 0.0
        return Check(step, forget.probability, forget.accuracy, keep.probability, keep.accuracy, near)


@dataclass(frozen=True, slots=True)
class MaskedLora:
    """Fits masked LoRA adapters with one set of settings."""

    settings: ConceptSettings = field(default_factory=ConceptSettings)

    @property
    def name(self) -> str:
        """Loss and mask, as reports name it."""
        return f"{self.settings.loss.value}-{self.settings.mask.value}"

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> TrainedAdapter:
        """As `ConceptUnlearner.fit`: choose a mask, train within it, keep the best of the checked states.

        Adapters that act on the model go on acting while it trains, so that this one makes up for what they cost; the
        base that is traced, and that says what must stay, is the model without any.
        """
        with using(model.model, []):
            choice = choose(model, lesson, self.settings, seed=seed)
        return self.fit_within(model, lesson, choice, seed=seed, progress=progress)

    def fit_within(
        self,
        model: LanguageModel,
        lesson: Lesson,
        choice: Choice,
        *,
        seed: int,
        progress: Progress = quiet,
        ready: Study | None = None,
    ) -> TrainedAdapter:
        """Train within a mask that has been chosen; `ready` is what `study` gave for this model, lesson and loss."""
        settings, watch = for_concept(self.settings, lesson), Watch.of(lesson, seed)
        with using(model.model, []):
            before = watch.check(model, 0)
            ready = ready or study(model, lesson, settings.loss, seed=seed)
            sparing = settings.sparing_for(len(lesson.concept.items))
            teacher = Teacher(model, ready, settings, seed=seed, sparing=sparing)
        confined = confine(model.model, choice.mask, rank=settings.rank, alpha=settings.alpha, seed=seed)
        try:
            with relearner(model, ready, settings, seed=seed) as attacker:
                goal = Together((teacher, attacker) if attacker else (teacher,))
                state = Averaged(confined, AVERAGED if settings.resists else 0.0, sparing.served)
                best, tensors = _train(model, (confined, state), goal, settings, (watch, before), progress=progress)
            confined.restore(tensors)
            canary = make_canary(model, watch.forget[0].question, NAME)
        finally:
            confined.release()
            remove(model.model, NAME)
        config = lora_config(modules_of(choice.mask), rank=settings.rank, alpha=settings.alpha)
        card = write_card(model, lesson, settings, choice, canary, seed=seed)
        facts = _facts(best, before, tensors)
        return TrainedAdapter(with_facts(AdapterFile(card, config, tensors), facts), facts)


def for_concept(settings: ConceptSettings, lesson: Lesson) -> ConceptSettings:
    """The settings with the steps that the lesson's concept takes."""
    return replace(settings, steps=settings.steps_for(len(lesson.concept.items)))


def _train(
    model: LanguageModel,
    trained: tuple[Confined, Averaged],
    goal: Goal,
    settings: ConceptSettings,
    watched: tuple[Watch, Check],
    *,
    progress: Progress,
) -> tuple[Check, dict[tuple[str, str], Tensor]]:
    """The last state that was checked and is hardly worse than the best before it: within what counts as enough. The
    fit ends before its steps where all is forgotten and nothing lost.

    Beside attackers it takes its steps and keeps the last, for a check sees nothing of what withstands them. A state is
    then the mean of the last steps' weights, without most of what the attackers' draws shake them by, at the strength
    that is served.
    """
    (confined, state), (watch, before) = trained, watched
    best, tensors, least = before, confined.tensors(), before.regret(before)
    for step in _steps(confined, goal, settings):
        progress(step, settings.steps)
        state.take()
        if step != settings.steps and (settings.resists or step % settings.check_every):
            continue
        with state.standing():
            found, now = watch.check(model, step), confined.tensors()
        regret = found.regret(before)
        if settings.resists or regret <= least + settings.enough:
            best, tensors, least = found, now, min(least, regret)
        if regret < settings.enough:
            break
    progress(settings.steps, settings.steps)
    return best, tensors


def _steps(confined: Confined, goal: Goal, settings: ConceptSettings) -> Iterator[int]:
    """Take a step, and say how many have been taken: AdamW, a short warm-up, then a rate that falls to a tenth."""
    optimizer = torch.optim.AdamW(confined.parameters(), lr=settings.rate, weight_decay=settings.decay)
    warm = max(1, settings.steps // 15)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 1 - 0.9 * step / settings.steps)
    )
    for step in range(settings.steps):
        optimizer.zero_grad(set_to_none=True)
        goal.loss(step).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(confined.parameters(), 1.0)
        optimizer.step()
        rate.step()
        yield step + 1


def _facts(best: Check, before: Check, tensors: Mapping[tuple[str, str], Tensor]) -> dict[str, int | float | str]:
    free = sum(int((tensor != 0).sum()) for tensor in tensors.values())
    every = sum(tensor.numel() for tensor in tensors.values())
    return {
        "steps": best.step,
        "entries": every,
        "entries_not_zero": free,
        "select_probability_before": round(before.forgotten, 4),
        "select_probability": round(best.forgotten, 4),
        "select_leaked": round(best.leaked, 4),
        "select_kept_before": round(before.kept_exact, 4),
        "select_kept": round(best.kept_exact, 4),
        "select_near_before": round(before.near, 4),
        "select_near": round(best.near, 4),
    }
