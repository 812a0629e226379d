"""Every way to forget a concept, by the name that reports give it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from db.errors import LetheError
from unlearning.concept.ablation import Ablation
from unlearning.concept.base import ConceptUnlearner
from unlearning.concept.dampening import Dampening
from unlearning.concept.masked_lora import MaskedLora
from unlearning.concept.negated import Negated
from unlearning.concept.refusing import Refusing
from unlearning.concept.settings import ConceptSettings, LossName, MaskName
from unlearning.concept.steering import Steering

OTHERS: Mapping[str, Callable[[ConceptSettings], ConceptUnlearner]] = {
    "ssd": lambda _settings: Dampening(),
    "ablation": lambda settings: Ablation(replace(settings, mask=MaskName.GUIDED)),
    "ablation-random": lambda settings: Ablation(replace(settings, mask=MaskName.RANDOM)),
    "steering": lambda _settings: Steering(),
    "negated": lambda settings: Negated(replace(settings, mask=MaskName.NONE)),
    "prompt": lambda _settings: Refusing(),
}
"""Methods beside masked LoRA; what they need of the settings, they take."""

TRAINED = tuple(f"{loss.value}-{mask.value}" for loss in LossName for mask in MaskName)
"""Masked LoRA: any loss with any mask."""

NAMES = (*TRAINED, *OTHERS)


def make(name: str, settings: ConceptSettings) -> ConceptUnlearner:
    """The method of a name among `NAMES`; a name `LOSS-MASK` is masked LoRA with the other settings as given."""
    if name in OTHERS:
        return OTHERS[name](settings)
    if name not in TRAINED:
        raise LetheError(
            f"no method is called {name!r}: choose among {', '.join(OTHERS)}, or LOSS-MASK as in npo-random"
        )
    loss, _, mask = name.rpartition("-")
    return MaskedLora(replace(settings, loss=LossName(loss), mask=MaskName(mask)))
