"""What a forgetting learns from: windows of histories, and concept items with what people met before them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from db.errors import LetheError
from recsys.candidates import IntArray
from recsys.semantic_ids.training import windows
from unlearning.tokens.case import Case

T = TypeVar("T")

CONTEXT = 15
"""Items before a concept item that are read."""


@dataclass(frozen=True)
class Example:
    """A concept item, by its place in the concept, and what came before it."""

    before: IntArray
    target: int


@dataclass(frozen=True)
class Examples:
    """Everything there is to learn from; a batch is drawn from it by lot."""

    histories: list[IntArray]
    forget: list[Example]
    window: int

    @classmethod
    def of(cls, case: Case) -> "Examples":
        """Raises LetheError where nobody met anything before an item of the concept."""
        place = {row: at for at, row in enumerate(case.concept.tolist())}
        histories = case.histories()
        forget = [
            Example(history[max(0, at - CONTEXT) : at], place[item])
            for history in histories
            for at, item in enumerate(history.tolist())
            if at and item in place
        ]
        if not forget:
            raise LetheError("nobody met an item of this concept after another: its ids have nothing to forget")
        return cls(histories, forget, case.model.window)

    def batches(
        self, retained: int, asked: int, rng: np.random.Generator
    ) -> Iterator[tuple[list[IntArray], list[Example]]]:
        """Windows of histories and examples, without end; each is drawn anew when all were seen."""
        pieces = _endless(lambda: windows(self.histories, self.window, rng), retained, rng)
        examples = _endless(lambda: self.forget, asked, rng)
        yield from zip(pieces, examples, strict=False)


def _endless(make: Callable[[], Sequence[T]], size: int, rng: np.random.Generator) -> Iterator[list[T]]:
    while True:
        found = make()
        order = rng.permutation(len(found)).tolist()
        for start in range(0, len(order), size):
            yield [found[place] for place in order[start : start + size]]
