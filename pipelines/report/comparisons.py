"""Every comparison that is kept, one kind after another, and for those that are not the command that makes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.report.comparison import Comparison
from pipelines.report.kept import Shelf
from pipelines.report.markup import Html, absent, details, join, tag

Find = Callable[[Shelf, datetime], Iterator[Comparison]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of measurement: its heading, its command, and what it finds on a shelf."""

    title: str
    command: str
    told: str
    """What it compares, in a sentence for everybody."""
    found: tuple[Comparison, ...]


def every(shelf: Shelf, now: datetime) -> tuple[Kind, ...]:
    """All kinds in the order of the page. What reads them loads only where something is kept."""
    return tuple(
        Kind(title, command, told, tuple(find(shelf, now)) if shelf.begins(*prefixes) else ())
        for title, command, told, prefixes, find in _KINDS
    )


def section(kinds: Sequence[Kind], shelf: Shelf) -> Html:
    """The part of the page: comparisons, or what would make them."""
    return join(_blocks(kinds, shelf))


def _blocks(kinds: Sequence[Kind], shelf: Shelf) -> Iterator[Html]:
    if shelf.withdrawn:
        told = f"{shelf.withdrawn} kept cells were withdrawn, because somebody asked to be forgotten after they were "
        yield tag("p", told + "measured. What follows was measured on the rows as they are now.", class_="note")
    for kind in kinds:
        yield tag("h3", kind.title)
        yield tag("p", kind.told)
        older = shelf.older[kind.command]
        if older:
            yield absent(f"{older} cells of another version of the program are left out; again by:", kind.command)
        if not kind.found:
            yield absent("Not measured on the rows of this store as they are now. What would measure it:", kind.command)
        first = min(kind.found, key=lambda one: one.quick, default=None)
        for one in sorted(kind.found, key=lambda one: one.quick):
            stands = not one.quick or one is first
            told = one.body if stands else details(f"{one.cells} cells", one.body)
            yield tag("section", tag("h4", one.title), told, class_="comparison")


def _layers(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    from pipelines.report.layers import comparisons

    return comparisons(shelf, now)


def _forgetting(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    from pipelines.report.forgetting import comparisons

    return comparisons(shelf, now)


def _concepts(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    from pipelines.report.concepts import comparisons

    return comparisons(shelf, now)


def _tracer(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    from pipelines.report.tracer import comparisons

    return comparisons(shelf, now)


def _drift(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    from pipelines.report.drift import comparisons

    return comparisons(shelf, now)


def _localise(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    from pipelines.report.localise import comparisons

    return comparisons(shelf, now)


_KINDS: tuple[tuple[str, str, str, tuple[str, ...], Find], ...] = (
    (
        "Which layer forgets what",
        "lethe compare",
        "A retrieval filter, an adapter, both, and more, at every surface where the forgotten could come to light. "
        "What the same command finds of people's requests stands under the next heading.",
        ("compare-",),
        _layers,
    ),
    (
        "A person's data, forgotten at the backbone",
        "lethe evaluate forgetting",
        "Every way to forget rows, beside models that never saw them: what stays good, what is left, what it costs.",
        ("lightgcn-", "bpr-", "ease-", "popularity-"),
        _forgetting,
    ),
    (
        "A concept, forgotten in the language model",
        "lethe evaluate concepts",
        "Every way to forget a concept, asked what no training has seen, attacked, and heard before and after.",
        ("concept-",),
        _concepts,
    ),
    (
        "A concept, forgotten in the generative recommender",
        "lethe evaluate tracer",
        "Ways to forget a concept where items are spoken as ids: by moving these (TRACER, a reconstruction), by "
        "training against them, by closing them; beside a recommender that never met the items.",
        ("tracer-",),
        _tracer,
    ),
    (
        "Drift under other words",
        "lethe drift",
        "How far lists and answers move when a request is put in other words, before unlearning and after it.",
        ("drift-",),
        _drift,
    ),
    (
        "Where in the model words matter",
        "lethe localise",
        "Which layers, neurons and heads decide, how alike they are between wordings, and whether forgetting and "
        "keeping pull against each other.",
        ("localise-",),
        _localise,
    ),
)
