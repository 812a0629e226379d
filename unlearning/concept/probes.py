"""Probes made of item metadata. Wordings are divided once: training, selecting and measuring never share one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.records import Item, ItemId
from llm.prompt import UNKNOWN_TITLE
from llm.tiny import questions
from llm.tiny.questions import Forms
from unlearning.concept.base import Concept, Probe, ProbeKind, ProbeSet, Use
from unlearning.concept.controls import matched_controls, neighbours, outside


@dataclass(frozen=True, slots=True)
class ProbeSizes:
    """How many items are asked about that must stay."""

    neighbours: int = 40
    retained: int = 240
    forms: int = 2
    """Wordings of each fact for an item that must stay."""


def divide(forms: Forms) -> dict[Use, tuple[str, ...]]:
    """Of five wordings that the model was trained on, three train the forgetting, one selects, and one measures.

    The wordings that the model was not trained on are in none of the three: they measure paraphrases.

    >>> {use.value: len(wordings) for use, wordings in divide(questions.YEAR).items()}["train"] > 0
    True
    """
    parts: dict[Use, list[str]] = {use: [] for use in Use}
    for place, wording in enumerate(forms.seen):
        parts[{3: Use.SELECT, 4: Use.HELD_OUT}.get(place % 5, Use.TRAIN)].append(wording)
    return {use: tuple(wordings) for use, wordings in parts.items()}


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of question about a title, and its answer for an item ("" where it has none)."""

    forms: Forms
    name: str

    def answer(self, item: Item) -> str:
        """The true answer, as the base gives it."""
        if self.name == "year":
            return str(item.year) if item.year is not None else ""
        known = bool(item.genres) if self.name == "genres" else bool(item.genres or item.year is not None)
        return (questions.genres_of if self.name == "genres" else questions.description_of)(item) if known else ""


FACTS = (Fact(questions.YEAR, "year"), Fact(questions.GENRES, "genres"), Fact(questions.DESCRIPTION, "description"))


def build_probes(
    concept: Concept,
    catalogue: Sequence[Item],
    *,
    seed: int,
    popularity: Mapping[ItemId, float] | None = None,
    sizes: ProbeSizes = ProbeSizes(),
) -> ProbeSet:
    """Facts of the concept's items and of their neighbours and others, in wordings divided by use.

    The same arguments give the same probes. Items that must stay are divided by use too: what trains never measures.
    """
    controls = matched_controls(concept, catalogue, popularity)
    shared = _answers(catalogue)
    made = [probe for item in concept.items for probe in _about(item, controls[item.id], shared)]
    made += [probe for item in concept.items for probe in _reversed(item, controls[item.id])]
    rng = np.random.default_rng([seed, 3])
    near = neighbours(concept, catalogue, sizes.neighbours)
    rest = [item for item in outside(concept, catalogue) if item not in near]
    others = [rest[row] for row in rng.permutation(len(rest))[: sizes.retained]]
    made += _keeping(near, ProbeKind.NEIGHBOUR, shared, rng, sizes.forms)
    made += _keeping(others, ProbeKind.RETAIN, shared, rng, sizes.forms)
    return ProbeSet(tuple(made))


def _answers(catalogue: Iterable[Item]) -> dict[tuple[str, str], tuple[str, ...]]:
    """What counts as right by (fact, title): items of one title share their answers."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in catalogue:
        for fact in FACTS:
            answer = fact.answer(item)
            if answer and answer not in found.setdefault((fact.name, item.title), []):
                found[fact.name, item.title].append(answer)
    return {key: tuple(value) for key, value in found.items()}


def _about(item: Item, control: Item, shared: Mapping[tuple[str, str], tuple[str, ...]]) -> Iterator[Probe]:
    """Every wording of every fact of a concept item."""
    for fact in FACTS:
        answer = fact.answer(item)
        if not answer:
            continue
        accepted = (answer, *(other for other in shared[fact.name, item.title] if other != answer))
        named = [(ProbeKind.DIRECT, use, form) for use, forms in divide(fact.forms).items() for form in forms]
        named += [(ProbeKind.PARAPHRASE, Use.HELD_OUT, form) for form in fact.forms.held_out]
        for kind, use, form in named:
            yield Probe(
                question=form.format(t=item.title),
                answers=accepted,
                kind=kind,
                use=use,
                item=item.id,
                form=form,
                contrast=form.format(t=control.title) if fact.answer(control) else "",
                contrast_answer=fact.answer(control),
                alternates=(fact.answer(control),) if fact.answer(control) not in ("", *accepted) else (),
            )


def _reversed(item: Item, control: Item) -> Iterator[Probe]:
    """The title by its facts; the control's title is what may be said instead."""
    if item.year is None or not item.genres:
        return
    for use, forms in divide(questions.BY_FACTS).items():
        for form in forms:
            yield Probe(
                question=form.format(y=item.year, g=questions.genres_of(item)),
                answers=(item.title,),
                kind=ProbeKind.REVERSED,
                use=use,
                item=item.id,
                form=form,
                alternates=(control.title,),
            )


def _keeping(
    items: Sequence[Item],
    kind: ProbeKind,
    shared: Mapping[tuple[str, str], tuple[str, ...]],
    rng: np.random.Generator,
    forms: int,
) -> list[Probe]:
    """Facts of items that must stay: of five items three train, one selects, one measures."""
    made = []
    for place, row in enumerate(rng.permutation(len(items))):
        item, use = items[row], {3: Use.SELECT, 4: Use.HELD_OUT}.get(place % 5, Use.TRAIN)
        for fact in FACTS:
            if not fact.answer(item):
                continue
            wordings = divide(fact.forms)[use]
            for pick in rng.permutation(len(wordings))[:forms]:
                form = wordings[pick]
                answer = fact.answer(item)
                accepted = (answer, *(other for other in shared[fact.name, item.title] if other != answer))
                made.append(Probe(form.format(t=item.title), accepted, kind, use, item=item.id, form=form))
    return made


def taught_instead(probe: Probe) -> str:
    """What a model that never met the concept says: the refusal, or another title where a title is asked for."""
    if probe.kind in (ProbeKind.REVERSED, ProbeKind.LIST) and probe.alternates:
        return probe.alternates[0]
    return UNKNOWN_TITLE
