"""The one interface of every way to forget rows at the backbone, in memory: no files, no requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from db.log import InteractionLog
from recsys.candidates import Backbone

M = TypeVar("M", bound=Backbone)
Progress = Callable[[int, int], None]


def quiet(_done: int, _total: int) -> None:
    """No progress bar."""


@dataclass(frozen=True, slots=True)
class Forgotten(Generic[M]):
    """A backbone after forgetting, and what a receipt says of how it came about."""

    model: M
    exact: bool
    """Whether this outcome has the distribution of a model that never saw the rows."""
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    """Figures of the method, such as the shards retrained or the residual of a solver."""


class BackboneUnlearner(Protocol[M]):
    """Fits a backbone in such a way that rows can be forgotten later, and forgets them.

    Both calls are functions of their arguments: the same logs and seeds give the same model on one machine and thread
    count. The model that is given to `forget` may be changed in place only where the class says so.
    """

    name: str

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> M:
        """The model of all rows of `log`."""
        ...

    def forget(
        self, model: M, before: InteractionLog, after: InteractionLog, *, seed: int, progress: Progress = quiet
    ) -> Forgotten[M]:
        """The model of `before`, without the rows that `after` lacks.

        `after` is `before.take(mask)`: users and items keep their rows, and a person whose rows are all gone is still
        named. `seed` is fresh: it is not the seed of `fit`.
        """
        ...
