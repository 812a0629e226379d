"""What a cell is: everything that determines its result, and the key made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.evaluate.key import key_of

HARNESS = 1
"""Grows when cells are measured otherwise: older ones are not found any more."""

BASE, ORACLE = "none", "oracle"
"""The recommender that forgot nothing, and the one that never met the concept."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One way to forget one concept, from the recommender of one seed."""

    rows: str
    """Digest of what is trained on and asked for."""
    concept: str
    """Its name as part of a file name; empty for the recommender itself."""
    items: tuple[int, ...]
    """Rows of its items."""
    method: str
    seed: int
    model: Mapping[str, Any]
    """Settings of the recommender."""
    settings: Mapping[str, Any]
    """Settings of the forgetting."""
    people: int
    """How many are asked."""

    @property
    def key(self) -> str:
        """64 hexadecimal digits over everything above and the version of the code."""
        return key_of(self, HARNESS)

    @property
    def name(self) -> str:
        """What the cell is kept as."""
        return f"tracer-{self.concept or 'model'}-{self.method}-{self.seed}-{self.key[:12]}"
