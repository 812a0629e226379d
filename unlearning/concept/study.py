"""What an adapter learns from, as token rows: what must go, what is said instead, and what must stay.

What the frozen base says is read once, before any adapter is there: of kept rows its last states, from which its
distribution follows exactly, and of forgotten ones the log-probability of the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from llm.model import LanguageModel
from llm.prompt import YES, JudgePrompt
from unlearning.concept.aliases import disguised, unknown_turns
from unlearning.concept.base import Lesson, Probe, ProbeKind, Use
from unlearning.concept.losses import OBJECTIVES, log_softmax
from unlearning.concept.probes import taught_instead
from unlearning.concept.rows import Row, Turn, answer_states, batches, encode_rows, in_order, logits_of, row_sums
from unlearning.concept.settings import LossName

JUDGED_AT_ONCE = 5
"""Candidates of one synthetic person in a unit."""


class Part(Enum):
    """What a kept unit is: a fact near the concept, another fact, or judgements of a synthetic person.

    Unknown are facts and judgements of concept items: they are to be answered as the base answers them under titles
    that do not exist.
    """

    NEIGHBOUR = "neighbour"
    OTHER = "other"
    JUDGED = "judged"
    UNKNOWN_FACT = "unknown fact"
    UNKNOWN_JUDGED = "unknown judged"


UNKNOWN = frozenset({Part.UNKNOWN_FACT, Part.UNKNOWN_JUDGED})
KEPT = frozenset(Part) - UNKNOWN


Units = list[tuple[Row, ...]]


@dataclass(frozen=True, slots=True)
class Study:
    """Rows, and what the base says of them.

    `own` and `taught` go in pairs: the true answer and what is said in its place. `kept` are units of rows that share a
    beginning, and `parts` says of each what it is.
    """

    own: tuple[Row, ...]
    taught: tuple[Row, ...]
    own_base: Tensor
    """float32 [pairs], log-probabilities; empty where the loss does not read them, as `taught_base`."""
    taught_base: Tensor
    kept: tuple[tuple[Row, ...], ...]
    kept_base: tuple[tuple[Tensor, ...], ...]
    """The base's states at each kept row's answer, of an unknown row under its other title; [answer tokens, hidden]."""
    parts: tuple[Part, ...]
    subjects: tuple[str, ...]
    """What each unknown fact is about, so that facts can be halved: its item, of a single item its answer; empty where
    an answer holds another, which would tell it."""
    known: frozenset[int] = frozenset()
    """Of unknown facts, numbers of the units whose question a namesake answers: there not knowing is not what a title
    that does not exist looks like, though the concept's answer is to be no likelier than under one."""

    def units_of(self, part: Part) -> list[int]:
        """Numbers of the kept units of one part."""
        return [unit for unit, found in enumerate(self.parts) if found is part]


def study(model: LanguageModel, lesson: Lesson, loss: LossName, *, seed: int) -> Study:
    """Everything that a fit reads, from the training part of a lesson and the base."""
    needs = OBJECTIVES[loss].needs
    forgotten = list(lesson.probes.forgotten(Use.TRAIN))
    facts = list(lesson.probes.kept(Use.TRAIN))
    said = replacements(forgotten, facts, loss, seed=seed)
    own = encode_rows(model, [Turn(probe.question, probe.answers[0], begun=probe.begun) for probe in forgotten])
    taught = encode_rows(
        model, [Turn(probe.question, text, begun=probe.begun) for probe, text in zip(forgotten, said, strict=True)]
    )
    units: list[tuple[Row, ...]] = [
        (row,) for row in encode_rows(model, [Turn(probe.question, probe.answers[0]) for probe in facts])
    ]
    units += (judged := judged_units(model, lesson.judged))
    asked, other, unknown = _unknown(model, lesson, forgotten)
    states = _base_states(model, [row for unit in (*units, *other) for row in unit])
    first = len(units)
    units += asked
    base = iter(states)
    return Study(
        own=tuple(own),
        taught=tuple(taught),
        own_base=base_log_probs(model, own if "own_base" in needs else ()),
        taught_base=base_log_probs(model, taught if "taught_base" in needs else ()),
        kept=tuple(units),
        kept_base=tuple(tuple(next(base) for _ in unit) for unit in units),
        parts=(*map(_part, facts), *[Part.JUDGED] * len(judged), *unknown),
        subjects=subjects_of(disguised(forgotten)),
        known=frozenset(first + place for place, probe in enumerate(disguised(forgotten)) if probe.namesake),
    )


def _unknown(model: LanguageModel, lesson: Lesson, forgotten: Sequence[Probe]) -> tuple[Units, Units, list[Part]]:
    """Facts and judgements of the concept, the same under titles that do not exist, and what each unit is."""
    turns = list(unknown_turns(forgotten, lesson.concept))
    begun = _said_anyway(model, disguised(forgotten), [asked for asked, _ in turns])
    sides = []
    for side in (0, 1):
        rows = encode_rows(model, [pair[side] for pair in turns])
        facts: Units = [(row.past(count),) for row, count in zip(rows, begun, strict=True)]
        sides.append(facts + judged_units(model, [pair[side] for pair in lesson.disguised]))
    people = len(sides[0]) - len(turns)
    return sides[0], sides[1], [Part.UNKNOWN_FACT] * len(turns) + [Part.UNKNOWN_JUDGED] * people


def _said_anyway(model: LanguageModel, probes: Sequence[Probe], turns: Sequence[Turn]) -> list[int]:
    """With how many tokens each answer begins as the namesake's does, which is to be said; 0 where there is none."""
    others = [
        Turn(probe.question, probe.namesake.removeprefix(turn.begun)) for probe, turn in zip(probes, turns, strict=True)
    ]
    pairs = zip(encode_rows(model, turns), encode_rows(model, others), strict=True)
    return [alike(one.answer, two.answer) for one, two in pairs]


def alike(one: Sequence[int], two: Sequence[int]) -> int:
    """With how many tokens both begin.

    >>> alike([1, 9, 6, 2], [1, 9, 9]), alike([1], [1, 9]), alike([], [1])
    (2, 1, 0)
    """
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def subjects_of(probes: Sequence[Probe]) -> tuple[str, ...]:
    """Of each probe its item, or of a single item's probes the answer; empty where that holds another's answer."""
    items = [str(probe.item) for probe in probes]
    if len(set(items)) > 1:
        return tuple(items)
    answers = [probe.answers[0] for probe in probes]
    return tuple("" if any(other != one and other in one for other in set(answers)) else one for one in answers)


def _part(probe: Probe) -> Part:
    return Part.NEIGHBOUR if probe.kind is ProbeKind.NEIGHBOUR else Part.OTHER


def replacements(forgotten: Sequence[Probe], kept: Sequence[Probe], loss: LossName, *, seed: int) -> list[str]:
    """What is taught in place of each true answer: a refusal, an alternate answer, or one drawn at random.

    A random answer, also where no alternate is known, is the true answer to a kept question in the same wording.
    """
    rng = np.random.default_rng([seed, 16])
    by_form: dict[str, list[str]] = {}
    for probe in kept:
        by_form.setdefault(probe.form, []).append(probe.answers[0])
    chosen: list[str] = []
    for probe in forgotten:
        pool = [answer for answer in by_form.get(probe.form, ()) if answer not in probe.answers]
        drawn = pool[rng.integers(len(pool))] if pool else taught_instead(probe)
        alternate = probe.namesake or (probe.alternates[0] if probe.alternates else drawn)
        chosen.append({LossName.RANDOM_LABELS: drawn, LossName.ALTERNATE: alternate}.get(loss, taught_instead(probe)))
    return chosen


def judged_units(model: LanguageModel, prompts: Sequence[JudgePrompt]) -> Units:
    """Judgements of synthetic people: some candidates of one person in a unit. The answer is only a place to read."""
    units: Units = []
    for asked in prompts:
        for start in range(0, len(asked.suffixes), JUDGED_AT_ONCE):
            part = asked.suffixes[start : start + JUDGED_AT_ONCE]
            units.append(tuple(encode_rows(model, [Turn(suffix, YES, shared=asked.prefix) for suffix in part])))
    return units


@torch.inference_mode()
def base_log_probs(model: LanguageModel, rows: Sequence[Row], *, tokens: int = 8192) -> Tensor:
    """Log-probability of each row's answer as the model stands, float32 [rows]."""
    parts = []
    for batch in batches(rows, model.device, tokens=tokens):
        spread = log_softmax(logits_of(model, answer_states(model, batch)))
        parts.append((batch, row_sums(spread.gather(1, batch.targets[:, None])[:, 0], batch)))
    return in_order(parts, len(rows)).clone()


@torch.inference_mode()
def _base_states(model: LanguageModel, rows: Sequence[Row], *, tokens: int = 8192) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    for batch in batches(rows, model.device, tokens=tokens):
        states = answer_states(model, batch)
        sizes = [len(rows[number].answer) for number in batch.rows]
        found |= dict(zip(batch.rows, torch.split(states, sizes), strict=True))
    return [found[number].clone() for number in range(len(rows))]
