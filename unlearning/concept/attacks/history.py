"""The concept comes back through a person's retrieved history: as titles, or with the facts of its other items."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from db.records import Item
from llm.model import LanguageModel
from llm.prompt import describe
from unlearning.concept.attacks.outcome import Outcome, ask_all
from unlearning.concept.base import Concept, Forgetting, Probe
from unlearning.concept.cells import Sample
from unlearning.concept.judgement import leanings
from unlearning.concept.probe_kinds import GENRES, TITLE, choice_questions

SHOWN = 3
"""Concept items in a history."""


def reinjection(
    model: LanguageModel,
    forgetting: Forgetting,
    concept: Concept,
    probes: Sequence[Probe],
    *,
    choices: Sequence[tuple[Sequence[Item], Item, Item]] = (),
) -> tuple[Outcome, ...]:
    """Facts asked after a history with concept items in it, and choices of people with such histories.

    Titles: of the item asked about, and of others. Facts: of other items alone, so a concept of one item has none.
    `choices` are a history, a concept item and its control.
    """
    named = [replace(probe, question=_told(_titles(concept, probe)) + probe.question) for probe in probes]
    told = [replace(p, question=_told(shown) + p.question) for p in probes if (shown := _others(concept, str(p.item)))]
    with forgetting.applied(model) as changed:
        found = [ask_all(changed, named, "history", "titles")]
        if told:
            found.append(ask_all(changed, told, "history", "facts of others"))
        found += [_chosen(changed, concept, choices, form) for form in (GENRES, TITLE) if choices]
    return tuple(found)


def _others(concept: Concept, asked: str) -> list[Item]:
    """Concept items that share no title with the one asked about."""
    titles = {item.title for item in concept.items if item.id == asked}
    return [item for item in concept.items if item.title not in titles][:SHOWN]


def _titles(concept: Concept, probe: Probe) -> list[Item]:
    own = [item for item in concept.items if item.id == probe.item]
    return [Item(item.id, item.title) for item in (*own, *_others(concept, str(probe.item)))]


def _told(shown: Sequence[Item]) -> str:
    return "A person liked:\n" + "".join(f"- {describe(item)}\n" for item in shown)


def _chosen(
    model: LanguageModel, concept: Concept, choices: Sequence[tuple[Sequence[Item], Item, Item]], form: str
) -> Outcome:
    """How often a concept item is put above its control by people whose history holds other concept items."""
    asked = [
        choice_questions([*history, *_others(concept, str(item.id))], item, control, form)
        for history, item, control in choices
    ]
    leaning = leanings(model, [question for pair in asked for question in pair])
    above = np.sign(leaning[0::2] - leaning[1::2]) / 2 + 0.5
    known = Sample(above, tuple(str(item.id) for _, item, _ in choices))
    return Outcome("history", f"choice by {form}", 0, known, float("nan"))
