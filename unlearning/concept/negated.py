"""Negated LoRA: an adapter is trained to know the concept even better, and is then subtracted.

Task arithmetic by negation (Ilharco et al. 2023). The training reads what masked LoRA reads, with the true answers as
those that are taught; the selecting probes choose how much is subtracted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from llm.adapter_file import AdapterFile, lora_config
from llm.adapters import make_canary, remove, using
from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Progress, quiet
from unlearning.concept.choosing import choose
from unlearning.concept.confined import Confined, confine, modules_of
from unlearning.concept.in_training import NAME
from unlearning.concept.masked_lora import Check, Watch, for_concept
from unlearning.concept.objective import Teacher
from unlearning.concept.settings import ConceptSettings, LossName, MaskName
from unlearning.concept.study import study
from unlearning.concept.trained import TrainedAdapter, with_facts, write_card
from unlearning.concept.tuned import told

Tensors = Mapping[tuple[str, str], Tensor]


_TEACHING = LossName.RANDOM_LABELS
"""Cross-entropy of taught answers, and no other term for the concept; what is taught are the true ones."""


def negated(tensors: Tensors, strength: float) -> dict[tuple[str, str], Tensor]:
    """The adapter whose change of every weight is `-strength` times that of the one given."""
    return {key: tensor * -strength if key[1] == "B" else tensor for key, tensor in tensors.items()}


@dataclass(frozen=True, slots=True)
class Negated:
    """Trains with settings' mask, rank, rate and steps; their loss is not read."""

    settings: ConceptSettings
    strengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)

    @property
    def name(self) -> str:
        """`negated`, with the mask where there is one."""
        return "negated" if self.settings.mask is MaskName.NONE else f"negated-{self.settings.mask.value}"

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> TrainedAdapter:
        """As `ConceptUnlearner.fit`, beside adapters that act as `MaskedLora.fit`."""
        settings = replace(for_concept(self.settings, lesson), loss=_TEACHING)
        watch = Watch.of(lesson, seed)
        with using(model.model, []):
            choice = choose(model, lesson, settings, seed=seed)
            before = watch.check(model, 0)
            read = study(model, lesson, settings.loss, seed=seed)
            teacher = Teacher(model, replace(read, taught=read.own), settings, seed=seed)
        confined = confine(model.model, choice.mask, rank=settings.rank, alpha=settings.alpha, seed=seed)
        try:
            train(confined, teacher, settings, progress)
            strength, check = self._subtract(model, confined, watch, before)
            canary = make_canary(model, watch.forget[0].question, NAME)
            tensors = confined.tensors()
        finally:
            confined.release()
            remove(model.model, NAME)
        facts = {"steps": settings.steps, "strength": strength, **told(check)}
        card = write_card(model, lesson, self.settings, choice, canary, seed=seed)
        config = lora_config(modules_of(choice.mask), rank=settings.rank, alpha=settings.alpha)
        return TrainedAdapter(with_facts(AdapterFile(card, config, tensors), facts), facts)

    def _subtract(self, model: LanguageModel, confined: Confined, watch: Watch, before: Check) -> tuple[float, Check]:
        """Leave the adapter negated, by the strength of least regret."""
        learned = confined.tensors()
        checks = {}
        for strength in self.strengths:
            confined.restore(negated(learned, strength))
            checks[strength] = watch.check(model, 0)
        best = min(checks, key=lambda strength: checks[strength].regret(before))
        confined.restore(negated(learned, best))
        return best, checks[best]


def train(confined: Confined, teacher: Teacher, settings: ConceptSettings, progress: Progress = quiet) -> None:
    """Descend for all steps at a constant rate."""
    optimizer = torch.optim.AdamW(confined.parameters(), lr=settings.rate, weight_decay=settings.decay)
    for step in range(settings.steps):
        optimizer.zero_grad(set_to_none=True)
        teacher.loss(step).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(confined.parameters(), 1.0)
        optimizer.step()
        progress(step + 1, settings.steps)
