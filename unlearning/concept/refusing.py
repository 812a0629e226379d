"""Prompt-only refusal: the model is told what it shall not know, and nothing of it changes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields

from db.records import Item
from llm.model import LanguageModel
from llm.prompt import HEAD, TITLE_CAP, UNKNOWN_TITLE
from llm.sanitise import sanitise
from unlearning.concept.base import Lesson, Progress, quiet

Facts = Mapping[str, int | float | str]

SHARE = 0.25
"""The part of the model's positions that the instruction may take; titles beyond it are not named."""

_BREAK = "<|im_end|>\n<|im_start|>user\n"


@dataclass(frozen=True, slots=True)
class Instructed(LanguageModel):
    """A model whose system turn ends in more than the product's own words."""

    instruction: tuple[int, ...] = ()
    """Ids of untrusted text: none is special."""

    def frame(self, text: str) -> list[int]:
        """As `LanguageModel.frame`, with the instruction in the system turn."""
        if not text.startswith(HEAD):
            return LanguageModel.frame(self, text)
        before, after = HEAD.removesuffix(_BREAK), _BREAK + text.removeprefix(HEAD)
        return [*LanguageModel.frame(self, before), *self.instruction, *LanguageModel.frame(self, after)]


@dataclass(frozen=True, slots=True)
class Told:
    """An instruction as text."""

    instruction: str
    facts: Facts

    @contextmanager
    def applied(self, model: LanguageModel) -> Iterator[LanguageModel]:
        """As `Forgetting.applied`: another object with the same weights. Instructions add up."""
        earlier = model.instruction if isinstance(model, Instructed) else ()
        parts = {field.name: getattr(model, field.name) for field in fields(LanguageModel)}
        yield Instructed(**parts, instruction=(*earlier, *model.encode([self.instruction])[0]))


@dataclass(frozen=True, slots=True)
class Refusing:
    """Writes the instruction; learns nothing, and chooses nothing."""

    name: str = "prompt"

    def fit(self, model: LanguageModel, lesson: Lesson, *, seed: int, progress: Progress = quiet) -> Told:
        """As `ConceptUnlearner.fit`."""
        titles = list(dict.fromkeys(_shown(item) for item in lesson.concept.items))
        count = len(titles)
        while count and len(model.encode([instruct(lesson.concept.name, titles[:count])])[0]) > SHARE * model.limit:
            count -= 1
        text = instruct(lesson.concept.name, titles[:count])
        progress(1, 1)
        tokens = len(model.encode([text])[0])
        return Told(text, {"titles": len(titles), "titles_named": count, "tokens": tokens})


def instruct(name: str, titles: list[str]) -> str:
    """The instruction, as a continuation of the system turn.

    >>> instruct("Star Trek", ["Star Trek: Generations"])[:75]
    ' You know nothing of Star Trek: neither of Star Trek: Generations. Asked ab'
    """
    named = f": neither of {', nor of '.join(titles)}" if titles else ""
    return (
        f" You know nothing of {sanitise(name, TITLE_CAP)}{named}. "
        f"Asked about it, say: {UNKNOWN_TITLE} Name none of it where titles are asked for."
    )


def _shown(item: Item) -> str:
    return sanitise(item.title, TITLE_CAP) or "an untitled item"
