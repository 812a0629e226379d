"""What every scorer gives, and the protocol it keeps. numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.context import Context

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """The model's opinion of one person's candidates: float32 [candidates], higher is better.

    Only differences within one list mean anything. Where the model gave no usable answer, `usable` is False, the values
    are zeros, and `detail` says why; such a list is counted as a fallback.
    """

    values: FloatArray
    usable: bool = True
    detail: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 1:
            raise ValueError(f"scores have {self.values.ndim} axes, not one")
        if not np.isfinite(self.values).all():
            raise ValueError("scores are not finite: mark the list as unusable instead")
        if not self.usable and not self.detail:
            raise ValueError("an unusable list must say why")

    @classmethod
    def checked(cls, values: FloatArray) -> Self:
        """The values if all are finite, otherwise an unusable list of the same length."""
        if np.isfinite(values).all():
            return cls(values)
        return cls.unusable(len(values), "the model's logits are not finite")

    @classmethod
    def unusable(cls, count: int, detail: str) -> Self:
        """No opinion on `count` candidates, with the reason."""
        return cls(np.zeros(count, np.float32), usable=False, detail=detail)


class Scorer(Protocol):
    """Scores the candidates of each context with a language model.

    The answer for one context depends on that context alone: not on the others in the call, nor on their number.
    """

    name: str

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """One `Scores` for each context, in the same order; values follow `context.candidates`."""
        ...


def too_long(tokens: int, limit: int) -> str:
    """The reason given where a prompt does not fit: it is never cut."""
    return f"a prompt of {tokens} tokens exceeds the model's {limit}"
