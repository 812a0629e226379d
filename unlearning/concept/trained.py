"""A trained adapter: what forgets the concept, with its mask and its card."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from llm.adapter_file import AdapterCard, AdapterFile, Canary, read_adapter, write_adapter
from llm.adapters import adding
from llm.model import LanguageModel
from unlearning.concept.base import Lesson
from unlearning.concept.choosing import Choice
from unlearning.concept.settings import ConceptSettings

Facts = Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """An adapter that has not been written yet, or was read back."""

    file: AdapterFile
    facts: Facts

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `save` wrote. Raises LetheError where it is incomplete or changed."""
        file = read_adapter(folder)
        return cls(file, file.card.facts)

    @property
    def card(self) -> AdapterCard:
        """What is said of it."""
        return self.file.card

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        """As `Forgetting.applied`, in place."""
        with adding(model.model, self.file):
            yield model

    def save(self, folder: Path) -> Path:
        """Write a folder that PEFT reads by itself, with the card beside it."""
        write_adapter(folder, self.file)
        return folder


def write_card(
    model: LanguageModel, lesson: Lesson, settings: ConceptSettings, choice: Choice, canary: Canary, *, seed: int
) -> AdapterCard:
    """The card of an adapter trained on a lesson; its lineage names no person, for there is none."""
    mask = choice.mask
    whole = mask.origin == "none"
    return AdapterCard(
        concept=lesson.concept.name,
        kind=lesson.concept.kind.value,
        items=tuple(item.id for item in lesson.concept.items),
        base=model.fingerprint,
        canary=canary,
        mask={
            "origin": mask.origin,
            "digest": mask.digest,
            "size": mask.size,
            "neurons": [] if whole else mask.neurons,
            "heads": mask.heads,
        },
        scores={} if choice.scores is None else {"neurons": choice.chosen_scores},
        settings=asdict(settings),
        lineage=lineage(lesson, seed=seed),
    )


def lineage(lesson: Lesson, *, seed: int) -> dict[str, int | str]:
    """What an adapter descends from: item text and synthetic people, by count and digest. User rows: none."""
    probes = [[probe.question, probe.answers, probe.use] for probe in lesson.probes]
    text = json.dumps([probes, [asdict(judged) for judged in lesson.judged], [asdict(a) for a, _ in lesson.disguised]])
    return {
        "made_of": "item metadata and synthetic profiles",
        "user_rows": 0,
        "probes": len(probes),
        "judged": len(lesson.judged),
        "disguised": len(lesson.disguised),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "seed": seed,
    }


def with_facts(file: AdapterFile, facts: Facts) -> AdapterFile:
    """The same adapter whose card carries the figures too."""
    return replace(file, card=replace(file.card, facts=dict(facts)))
