"""The simplest use of a mask: its neurons are zero at every token, and nothing is trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from llm.model import LanguageModel
from unlearning.concept.base import Lesson, Progress, quiet
from unlearning.concept.causal import ablated
from unlearning.concept.choosing import choose
from unlearning.concept.mask import Mask
from unlearning.concept.masked_lora import Watch
from unlearning.concept.scoring import top_neurons
from unlearning.concept.settings import ConceptSettings, MaskName
from unlearning.concept.tuned import best_of, told

Facts = Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Ablated:
    """A mask that is zeroed."""

    mask: Mask
    facts: Facts

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        """As `Forgetting.applied`, in place, by hooks."""
        with ablated(model, self.mask):
            yield model


@dataclass(frozen=True, slots=True)
class Ablation:
    """Zeroes a part of the mask that settings name: the part that the selecting probes like best."""

    settings: ConceptSettings
    parts: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5, 1.0)
    """Shares of `settings.neurons` to choose among."""

    @property
    def name(self) -> str:
        """`ablation`, with the mask where it is not the guided one."""
        return "ablation" if self.settings.mask is MaskName.GUIDED else f"ablation-{self.settings.mask.value}"

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> Ablated:
        """As `ConceptUnlearner.fit`."""
        masks = self._masks(model, lesson, seed)
        made = (Ablated(mask, {"neurons": mask.size, "mask": mask.origin}) for mask in masks)
        found, check = best_of(model, made, Watch.of(lesson, seed), count=len(masks), progress=progress)
        return Ablated(found.mask, {**found.facts, **told(check)})

    def _masks(self, model: LanguageModel, lesson: Lesson, seed: int) -> list[Mask]:
        """From the smallest; what was scored once is not scored again."""
        full = choose(model, lesson, self.settings, seed=seed)
        sizes = sorted({max(1, round(part * self.settings.neurons)) for part in self.parts})
        if full.mask.origin == MaskName.NONE:
            return [full.mask]
        if full.scores is None:
            return [choose(model, lesson, replace(self.settings, neurons=size), seed=seed).mask for size in sizes]
        scored = (full.scores, full.mask.shape)
        chosen = [top_neurons(*scored, size, cap=self.settings.cap, origin=full.mask.origin) for size in sizes]
        return [replace(mask, heads=full.mask.heads) for mask in chosen]
