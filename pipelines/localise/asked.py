"""Requests as rows: one a candidate, with whose it is and which class of preference it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llm.prompt import SERVED, Wording
from pipelines.drift.paraphrases import PARAPHRASES
from pipelines.drift.requests import Request
from retrieval.context import Context

SERVED_NAME = "as served"

WORDINGS: Mapping[str, Wording] = {SERVED_NAME: SERVED, **PARAPHRASES}
"""As served first."""

NO_CLASS = "none"


@dataclass(frozen=True)
class Asked:
    """The requests that are looked into."""

    requests: tuple[Request, ...]

    @property
    def contexts(self) -> list[Context]:
        """Of each request."""
        return [one.context for one in self.requests]

    @property
    def candidates(self) -> int:
        """In every list."""
        return len(self.requests[0].context.candidates)

    @property
    def people(self) -> int:
        """How many there are; their places begin at 0."""
        return 1 + max(one.person for one in self.requests)

    @cached_property
    def person(self) -> NDArray[np.int64]:
        """Place of the person whose row it is, [rows]."""
        return np.repeat([one.person for one in self.requests], self.candidates)

    @cached_property
    def classes(self) -> NDArray[np.str_]:
        """The first genre of each candidate, [rows]: what a preference is about."""
        items = (item for one in self.requests for item in one.context.candidates)
        return np.array([item.genres[0] if item.genres else NO_CLASS for item in items])

    def common(self, least: int) -> list[str]:
        """Classes with so many rows at least, the commonest first."""
        names, counts = np.unique(self.classes, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [str(names[n]) for n in order if counts[n] >= least and names[n] != NO_CLASS]


def by_request(values: Sequence[float] | NDArray[np.float64], asked: Asked) -> NDArray[np.float64]:
    """Values of rows as [requests, candidates]."""
    return np.asarray(values, dtype=np.float64).reshape(len(asked.requests), asked.candidates)
