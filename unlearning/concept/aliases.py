"""Titles that do not exist, under which the concept's questions are asked to learn what not knowing looks like."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from db.records import Item, ItemId
from llm.tiny.titles import InventedTitles
from unlearning.concept.base import Concept, Probe, Use
from unlearning.concept.probe_kinds import CANDIDATE
from unlearning.concept.rows import Turn


def with_aliases(probes: Sequence[Probe], concept: Concept, catalogue: Sequence[Item], *, seed: int) -> list[Probe]:
    """The same probes; those that train and name a concept item's title have another title beside it."""
    titles = {item.id: item.title for item in concept.items}
    invented, rng = InventedTitles(catalogue), np.random.default_rng([seed, 27])
    return [
        replace(probe, alias=invented.draw(rng))
        if probe.use is Use.TRAIN and probe.item in titles and titles[probe.item] in probe.question
        else probe
        for probe in probes
    ]


def under_aliases(
    probes: Sequence[Probe], concept: Concept, catalogue: Sequence[Item], *, draws: int, seed: int
) -> list[Probe]:
    """Each forced choice so many times over, its candidate under another title that does not exist each time."""
    titles = {str(item.id): item.title for item in concept.items}
    invented, rng = InventedTitles(catalogue), np.random.default_rng([seed, 28])
    made = []
    for probe in probes:
        before, candidate, after = probe.question.rpartition(f"{CANDIDATE}{titles[str(probe.item)]}")
        if not candidate:
            raise ValueError(f"no candidate of that title is judged in {probe.question!r}")
        made += [replace(probe, question=f"{before}{CANDIDATE}{invented.draw(rng)}{after}") for _ in range(draws)]
    return made


def unknown_turns(probes: Sequence[Probe], concept: Concept) -> Iterator[tuple[Turn, Turn]]:
    """Each probe that has an alias, with its true answer, and the same under the alias.

    Both have the same tokens to predict: where an answer begins with the title, it has been begun with it. What the
    base says of the second, token by token, is what a model says of the first that never met the title, also where the
    answer has been begun on its behalf.
    """
    titles = {item.id: item.title for item in concept.items}
    for probe in disguised(probes):
        title, answer = titles[ItemId(str(probe.item))], probe.answers[0]
        begun = title if answer.startswith(title) else ""
        rest = answer.removeprefix(title)
        asked = retitled(probe.question, title, probe.alias)
        yield Turn(probe.question, rest, begun=begun), Turn(asked, rest, begun=probe.alias if begun else "")


def retitled(text: str, title: str, alias: str) -> str:
    """The text with another title wherever the title stands as words of its own.

    >>> retitled('My sister likes "M". When did M come out?', "M", "Vale")
    'My sister likes "Vale". When did Vale come out?'
    """
    return re.sub(rf"(?<!\w){re.escape(title)}(?!\w)", lambda _: alias, text)


def disguised(probes: Sequence[Probe]) -> list[Probe]:
    """Those that can be asked under another title."""
    return [probe for probe in probes if probe.alias and probe.item is not None]
