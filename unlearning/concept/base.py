"""What every way to forget a concept shares: the concept, the probes about it, a lesson, and the two protocols.

Standard library and `llm` only: everything here runs by itself on a bare GPU machine, from item metadata alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from db.errors import LetheError
from db.records import Item, ItemId
from llm.model import LanguageModel
from llm.prompt import JudgePrompt

Progress = Callable[[int, int], None]


def quiet(_done: int, _total: int) -> None:
    """No progress bar."""


class Kind(StrEnum):
    """What a person named when they asked for a concept to be forgotten."""

    TITLE = "title"
    FRANCHISE = "franchise"
    GENRE = "genre"
    ITEMS = "items"
    PHRASE = "phrase"


@dataclass(frozen=True, slots=True)
class Concept:
    """A name and the items it stands for: at least one, none twice."""

    name: str
    kind: Kind
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.items:
            raise LetheError(f"concept {self.name!r} has {len(self.items)} items: name a concept with one at least")
        if len(self.ids) != len(self.items):
            raise LetheError(f"concept {self.name!r} names an item twice: give each item once")

    @property
    def ids(self) -> frozenset[ItemId]:
        """The ids of its items."""
        return frozenset(item.id for item in self.items)


class ProbeKind(StrEnum):
    """What a probe looks for."""

    DIRECT = "direct"
    """A fact of a concept item, in a wording that the model was trained on."""
    PARAPHRASE = "paraphrase"
    """The same in a wording that neither the model nor any forgetting method was trained on."""
    REVERSED = "reversed"
    """The facts are given, the title is asked for."""
    INDIRECT = "indirect"
    LIST = "list"
    """Several titles are asked for; no concept item may be among them."""
    FORCED_PREFIX = "forced_prefix"
    """The answer has been begun: `Probe.begun`."""
    FORCED_CANDIDATE = "forced_candidate"
    """Is a concept item (`question`) preferred to a matched control (`contrast`)?"""
    NEIGHBOUR = "neighbour"
    """A fact of an item that is near the concept and no part of it."""
    RETAIN = "retain"
    """Anything else that the model must go on answering as before."""
    FLUENCY = "fluency"
    """Running text; `answers[0]` is scored for its perplexity."""
    NAMESAKE = "namesake"
    """A fact of an item outside the concept that has the title of one of its own. Where the base says the concept's in
    its place, it is to come rather than to stay."""


KEPT = frozenset({ProbeKind.NEIGHBOUR, ProbeKind.RETAIN, ProbeKind.FLUENCY, ProbeKind.NAMESAKE})
"""Kinds whose answers must stay; all others must go."""


class Use(StrEnum):
    """What a probe may be used for. No probe, and no wording, of one use ever serves another."""

    TRAIN = "train"
    SELECT = "select"
    """Early stopping and the choice of settings."""
    HELD_OUT = "held_out"
    """Measuring alone."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One question with the answers that count as knowing; the first one is what the base is expected to say."""

    question: str
    """The user's turn, without the chat frame."""
    answers: tuple[str, ...]
    kind: ProbeKind
    use: Use
    item: ItemId | None = None
    """The item asked about."""
    form: str = ""
    """The wording before anything was filled in."""
    contrast: str = ""
    """The same question about a matched control item."""
    contrast_answer: str = ""
    begun: str = ""
    """How the answer has been begun on the model's behalf."""
    alternates: tuple[str, ...] = ()
    """Plausible wrong answers, for the losses that teach one."""
    alias: str = ""
    """A title that does not exist, to ask the same under."""
    namesake: str = ""
    """The answer for an item outside the concept that has the title: what who never met the concept says."""

    def __post_init__(self) -> None:
        if not self.answers or not all(self.answers):
            raise LetheError(f"probe {self.question!r} has no answer: give one at least")

    @property
    def kept(self) -> bool:
        """True where the answer must stay as it is."""
        return self.kind in KEPT


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Probes in a fixed order, and how to take some of them."""

    probes: tuple[Probe, ...]

    def __len__(self) -> int:
        return len(self.probes)

    def __iter__(self) -> Iterator[Probe]:
        return iter(self.probes)

    def of(self, *kinds: ProbeKind, use: Use | None = None) -> "ProbeSet":
        """The probes of the given kinds (all, if none is given) and the given use."""
        chosen = (p for p in self.probes if (not kinds or p.kind in kinds) and use in (None, p.use))
        return ProbeSet(tuple(chosen))

    def forgotten(self, use: Use | None = None) -> "ProbeSet":
        """The probes whose answers must go."""
        return ProbeSet(tuple(p for p in self.of(use=use) if not p.kept))

    def kept(self, use: Use | None = None) -> "ProbeSet":
        """The probes whose answers must stay."""
        return ProbeSet(tuple(p for p in self.of(use=use) if p.kept))


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that a method may learn from: a concept, and probes of which none is held out."""

    concept: Concept
    probes: ProbeSet
    judged: tuple[JudgePrompt, ...] = ()
    """Questions about synthetic people whose yes or no must stay; never about real ones."""
    disguised: tuple[tuple[JudgePrompt, JudgePrompt], ...] = ()
    """Such questions about concept items, and the same under titles that do not exist.

    What the base says of the second is what a model says of the first that never met the concept.
    """

    def __post_init__(self) -> None:
        shown = next((probe for probe in self.probes if probe.use is Use.HELD_OUT), None)
        if shown is not None:
            raise LetheError(f"held-out probe {shown.question!r} in a lesson: measure with it, never train")
        if any(len(one.suffixes) != len(other.suffixes) for one, other in self.disguised):
            raise LetheError(f"lesson on {self.concept.name!r}: a disguised question for each that is asked")
        if not self.probes.forgotten(Use.TRAIN) or not self.probes.kept(Use.TRAIN):
            raise LetheError(f"lesson on {self.concept.name!r}: needs training probes to forget and to keep")


def lesson(
    concept: Concept,
    probes: Iterable[Probe],
    judged: Iterable[JudgePrompt] = (),
    disguised: Iterable[tuple[JudgePrompt, JudgePrompt]] = (),
) -> Lesson:
    """The lesson of a whole probe set: what is held out is left out."""
    allowed = ProbeSet(tuple(probe for probe in probes if probe.use is not Use.HELD_OUT))
    return Lesson(concept, allowed, tuple(judged), tuple(disguised))


class Forgetting(Protocol):
    """What a method made of a model: an adapter, a change of weights, a hook or a prompt. The model is as it was."""

    @property
    def facts(self) -> Mapping[str, int | float | str]:
        """Figures for the report, such as steps, seconds, trainable parameters, bytes."""
        ...

    def applied(self, model: LanguageModel) -> AbstractContextManager[LanguageModel]:
        """Within the context, the model that has forgotten; after it the base answers bit for bit as before.

        The model that is given may be changed in place for the time being. Contexts of several forgettings nest.
        """
        ...


class Storable(Forgetting, Protocol):
    """A forgetting that can be written down and registered."""

    def save(self, folder: Path) -> Path:
        """Write it into a new folder, and name the folder."""
        ...


class ConceptUnlearner(Protocol):
    """One way to forget. The same model, lesson, seed, device and thread count give the same forgetting."""

    @property
    def name(self) -> str:
        """As reports name it."""
        ...

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> Forgetting:
        """Learn how to forget; weights of `model` are the same before and after, bit for bit."""
        ...
