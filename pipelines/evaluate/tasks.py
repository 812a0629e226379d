"""Works through tasks whose results are kept: finished ones are skipped, and the run ends in time after a whole one."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from db.errors import LetheError, NotFinishedError
from pipelines.evaluate.guard import LeakError
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.split import ResplitError
from unlearning.data.base import Progress


class Bars(Protocol):
    """Opens a progress bar under a label."""

    def __call__(self, label: str) -> AbstractContextManager[Progress]:
        """One bar."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is measured and kept under `name` by `do`. Tasks that are `like` each other take equally long."""

    name: str
    like: str
    label: str
    do: Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Done:
    """How far a run came. `failed` holds what methods said that ended in an error: the next run tries them again."""

    measured: int
    skipped: int
    left: int
    failed: tuple[tuple[str, str], ...] = ()


def work(tasks: Sequence[Task], keeper: Keeper, bars: Bars, *, until: float | None = None) -> Done:
    """Do every task that is not kept yet, in order.

    With `until`, a moment of the monotonic clock, none is begun that would likely end later, judged by the longest like
    it so far. A leak, another split or changed rows end the run; another LetheError ends that task alone.
    """
    waiting = [task for task in tasks if keeper.find(task.name) is None]
    longest: dict[str, float] = {}
    failed: list[tuple[str, str]] = []
    begun = 0
    for task in waiting:
        started = time.monotonic()
        if until is not None and started + longest.get(task.like, 0.0) >= until:
            break
        begun += 1
        try:
            with bars(f"{begun}/{len(waiting)} {task.label}") as bar:
                task.do(bar)
        except (LeakError, ResplitError, NotFinishedError):
            raise
        except LetheError as error:
            failed.append((task.name, str(error)))
        longest[task.like] = max(longest.get(task.like, 0.0), time.monotonic() - started)
    return Done(begun - len(failed), len(tasks) - len(waiting), len(waiting) - begun, tuple(failed))
