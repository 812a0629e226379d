"""What a part of this measurement is: everything that determines its result, and the key made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.drift.spec import BASE
from pipelines.evaluate.key import key_of

HARNESS = 1
"""Grows when parts are measured otherwise: older ones are not found any more."""


class Part(StrEnum):
    """What is looked into."""

    OVERLAP = "overlap"
    """Neurons between wordings and between classes of preference, and whether drift follows."""
    MAPS = "maps"
    """Saliency, Fisher, gradient norm and sensitivity to wording of neurons and heads."""
    DIRECTIONS = "directions"
    """Gradients of a concept against those of its controls."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One part on one model."""

    part: Part
    split: str
    """Id of the stored split."""
    model: str
    """Fingerprint of the base."""
    concept: str | None
    """Whose adapter acts; None: the base itself."""
    adapter: str
    """Hash of the adapter's bytes; empty for the base."""
    asking: Mapping[str, Any]
    settings: Mapping[str, Any]
    """Seed, size of clusters, the wordings."""
    about: str = ""
    """The concept whose gradients are looked into, and its prompts."""

    @property
    def state(self) -> str:
        """The model as tables name it."""
        return BASE if self.concept is None else f"without {self.concept}"

    @property
    def key(self) -> str:
        """64 hexadecimal digits over everything above and the version of the code."""
        return key_of(self, HARNESS)

    @property
    def name(self) -> str:
        """What the part is kept as."""
        return f"localise-{self.part.value}-{self.key[:12]}"
