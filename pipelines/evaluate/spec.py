"""What a cell is: everything that determines its result, and the key made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.evaluate.key import key_of
from pipelines.evaluate.protocols import ForgetProtocol

HARNESS = 3
"""Grows when cells are measured otherwise: older ones are not found any more."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One cell: a backbone with frozen settings, under one protocol, forgotten by one method, with one seed."""

    split: str
    backbone: str
    settings: Mapping[str, Any]
    protocol: ForgetProtocol
    method: str
    seed: int
    rerank: Mapping[str, Any] | None = None
    """Scorer, model and weight of the re-ranker, where lists are re-ranked too."""

    @property
    def key(self) -> str:
        """64 hexadecimal digits over everything above and the version of the code."""
        return key_of(self, HARNESS)

    @property
    def name(self) -> str:
        """What the cell is kept as."""
        return f"{self.backbone}-{self.method}-{self.protocol.name}-{self.seed}-{self.key[:12]}"
