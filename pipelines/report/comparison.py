"""What one kind of measurement adds to the page, and how figures of one run are told from those of another."""

import shlex
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.report.markup import Html

if TYPE_CHECKING:
    from pipelines.evaluate.page import About
    from pipelines.evaluate.tasks import Done

Found = dict[str, Any]
T = TypeVar("T")

EMBEDDED_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tables and figures of one run, and how its numbers were made."""

    title: str
    body: Html
    command: str
    """What measures the cells again where they are gone, and works every figure out anew where they are kept."""
    seed: str
    data: str
    model: str
    """Fingerprint of the language model; empty where none had a part in it."""
    cells: int
    quick: bool = False
    """Whether its figures are no results: few people, or short trainings."""


def command(*words: str, options: Iterable[tuple[str, object]]) -> str:
    """A `lethe` command; options without a value are left out, those that are True stand alone."""
    typed = list(words)
    for name, value in options:
        if value is not None and value is not False and value != "":
            typed += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return shlex.join(["lethe", *typed])


def repeated(name: str, values: Iterable[object]) -> list[tuple[str, object]]:
    """An option for each value, no value twice."""
    return [(name, value) for value in dict.fromkeys(values)]


def span(seeds: Iterable[int]) -> str:
    """Seeds in words.

    >>> span([2, 0, 1]), span([0])
    ('seeds 0 to 2', 'seed 0')
    """
    every = sorted(set(seeds))
    return f"seed {every[0]}" if len(every) == 1 else f"seeds {every[0]} to {every[-1]}"


def about(title: str, typed: str, machine: Mapping[str, Any], now: datetime) -> "About":
    """What the Markdown page of a measurement says of itself."""
    from pipelines.evaluate.page import About

    return About(now, typed, machine, title)


def finished(cells: int) -> "Done":
    """Nothing was measured now: everything had been."""
    from pipelines.evaluate.tasks import Done

    return Done(0, cells, 0)


def newest(values: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The last value of every key, in the order in which keys came first."""
    return list({key(value): value for value in values}.values())


def grouped(values: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Values by key, the group that was added to last first."""
    found: dict[Hashable, list[T]] = {}
    for value in values:
        own = found.pop(key(value), [])
        found[key(value)] = [*own, value]
    return list(reversed(found.values()))


def counted(cells: Sequence[object]) -> Found:
    """As the summary of a run that found everything kept."""
    return {"finished": len(cells), "measured_now": 0, "left": 0}


def model_told(fingerprint: str) -> dict[str, str]:
    """A language model by its fingerprint: the name of the embedded one, or that it is another."""
    from llm.tiny.checkpoint import NAME, checkpoint_path
    from llm.tiny.record import BuildRecord

    own = BuildRecord.read(checkpoint_path()).sha256.get(EMBEDDED_WEIGHTS)
    return {"name": NAME if fingerprint == own else "another checkpoint", "fingerprint": fingerprint}
