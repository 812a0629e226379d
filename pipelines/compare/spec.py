"""What a cell of this comparison is: everything that determines its result, and the key made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.compare.arms import Arm
from pipelines.evaluate.key import key_of
from pipelines.evaluate_concepts.spec import fitted_anew

HARNESS = 4
"""Grows when cells are measured otherwise: older ones are not found any more."""


class Scope(StrEnum):
    """Whose recommendations are to be without the concept."""

    EVERYBODY = "everybody"
    PERSON = "one person"
    """Each of some people asks for themselves; the others are to be served as before."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One surface under one arm, as far as the surface reads it, with one seed."""

    concept: str
    """Its name as part of a file name."""
    subject: str
    """Digest of what is taught and asked."""
    surface: str
    scope: Scope
    arm: Arm
    model: str
    """Fingerprint of the language model that the arm begins with; empty where none is read."""
    settings: Mapping[str, Any]
    """Of the method's fit; empty where nothing is fitted."""
    lists: str
    """Digest of the people, the split, the backbone and how lists are made; empty where none is made."""
    seed: int = 0

    @property
    def key(self) -> str:
        """64 hexadecimal digits over everything above and the version of the code."""
        return key_of(self, HARNESS + fitted_anew(self.arm.method))

    @property
    def name(self) -> str:
        """What the cell is kept as."""
        words = f"{self.concept} {self.surface} {self.scope}"
        return f"compare-{slug(words)}-{self.seed}-{self.key[:12]}"


def slug(text: str) -> str:
    """A name as part of a file name.

    >>> slug("served list, one person")
    'served-list-one-person'
    """
    return "-".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
