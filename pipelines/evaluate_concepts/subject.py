"""A concept with all that is asked about it: made once, and the same for every method."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from db.errors import LetheError
from db.records import Item, ItemId
from llm.tiny.concepts import matching
from unlearning.concept.base import Concept, Kind, Lesson, Probe, ProbeSet, Use, lesson
from unlearning.concept.controls import outside
from unlearning.concept.evaluate import Questionnaire, questionnaire
from unlearning.concept.nearest import Vectors
from unlearning.concept.people import disguised_people, judged_people
from unlearning.concept.probes import ProbeSizes, build_probes


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked: of everyone alike, and part of what a result is keyed by."""

    probes: ProbeSizes = field(default_factory=ProbeSizes)
    most: int = 640
    """Held-out probes of a kind at most."""
    people: int = 32
    """Synthetic people for whom lists are ordered."""
    judged: int = 24
    """Synthetic people whose judgements a lesson holds."""
    disguised: int = 24
    """Synthetic people asked about concept items, and about the same under titles that do not exist."""


SHORT = Sizes(
    ProbeSizes(neighbours=12, retained=30, measured=6, forms=1, people=4, chosen=4),
    most=40,
    people=4,
    judged=4,
    disguised=4,
)


LEAST = 24
"""Items of which synthetic people's histories and lists can be drawn."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One concept: what a method may learn from, and what everyone is asked afterwards."""

    concept: Concept
    probes: ProbeSet
    lesson: Lesson
    asked: Questionnaire

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.concept.name.casefold()).split())

    @property
    def digest(self) -> str:
        """sha256 over everything that is taught or asked: other wordings are another subject."""
        lists = [[one.questions, one.liked.tolist(), one.meant] for one in self.asked.listings]
        held_out = [_plain(probe) for probes in self.asked.probes.values() for probe in probes]
        people = [asdict(asked) for asked in (*self.lesson.judged, *(asked for asked, _ in self.lesson.disguised))]
        taught = [[_plain(probe) for probe in self.lesson.probes], people]
        return hashlib.sha256(json.dumps([sorted(self.concept.ids), taught, held_out, lists]).encode()).hexdigest()

    @property
    def selecting(self) -> ProbeSet:
        """Probes by which settings may be chosen."""
        return self.probes.of(use=Use.SELECT)


def named(name: str, catalogue: Sequence[Item]) -> Concept:
    """The concept that a name stands for: a title, a genre, an id, or words that a franchise's titles share."""
    kind, ids = matching(catalogue, name)
    if not ids:
        raise LetheError(f"no item, title, genre or franchise is called {name!r}: check it against the catalogue")
    return Concept(name, Kind(kind), tuple(item for item in catalogue if item.id in ids))


def subject(
    concept: Concept,
    catalogue: Sequence[Item],
    *,
    seed: int,
    sizes: Sizes = Sizes(),
    popularity: Mapping[ItemId, float] | None = None,
    vectors: Vectors | None = None,
) -> Subject:
    """Everything that is taught and asked about a concept; the same arguments give the same subject.

    Items near the concept are those by `vectors`, where given, otherwise by words of titles.
    """
    rest = len(outside(concept, catalogue)) - len(concept.items)
    if rest < LEAST:
        raise LetheError(
            f"beside {concept.name!r} and its controls there are {rest} items, {LEAST} are needed: name fewer items"
        )
    probes = build_probes(concept, catalogue, seed=seed, popularity=popularity, sizes=sizes.probes, vectors=vectors)
    asked = questionnaire(
        concept, catalogue, probes, seed=seed, popularity=popularity, most=sizes.most, people=sizes.people
    )
    judged = judged_people(concept, catalogue, people=sizes.judged, seed=seed)
    disguised = disguised_people(concept, catalogue, people=sizes.disguised, seed=seed)
    return Subject(concept, probes, lesson(concept, probes, judged, disguised), asked)


def _plain(probe: Probe) -> list[object]:
    told: list[object] = [probe.question, probe.answers, probe.kind.value, probe.use.value, probe.begun, probe.contrast]
    return [*told, probe.namesake] if probe.namesake else told
