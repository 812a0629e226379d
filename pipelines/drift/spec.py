"""What a cell of this measurement is: everything that determines its result, and the key made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.drift.instances import Kind
from pipelines.evaluate.key import key_of

HARNESS = 1
"""Grows when cells are measured otherwise: older ones are not found any more."""

BASE = "base"
"""The model that forgot nothing."""

FREE = "free"
"""Answers in words, beside the scorers' lists."""

SCORERS = ("packed", "listwise", "generate", FREE)


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind of perturbation of all requests, put to one model in one way."""

    split: str
    """Id of the stored split: a hash over every row and its part."""
    model: str
    """Fingerprint of the base."""
    concept: str | None
    """Whose adapter acts; None: the base itself."""
    adapter: str
    """Hash of the adapter's bytes; empty for the base."""
    scorer: str
    asking: Mapping[str, Any]
    kind: Kind
    done: str
    """Digest of what is done to every request."""

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
        """What the cell is kept as."""
        return f"drift-{self.scorer}-{self.kind.name.lower()}-{self.key[:12]}"
