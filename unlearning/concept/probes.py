"""Probes made of item metadata. Wordings are divided once: training, selecting and measuring never share one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.errors import LetheError
from db.records import Item, ItemId
from llm.prompt import UNKNOWN_TITLE
from llm.tiny import questions
from llm.tiny.questions import Forms
from unlearning.concept.aliases import with_aliases
from unlearning.concept.base import Concept, Probe, ProbeKind, ProbeSet, Use
from unlearning.concept.controls import matched_controls, neighbours, outside
from unlearning.concept.facts import FACTS, Answers, Fact, Told, answers_of, told
from unlearning.concept.nearest import Vectors, nearest
from unlearning.concept.probe_kinds import begun_probes, choice_probes, fluency_probes, list_probes
from unlearning.concept.wordings import INDIRECT, PARAPHRASES


@dataclass(frozen=True, slots=True)
class ProbeSizes:
    """How many items are asked about that must stay."""

    neighbours: int = 40
    """The nearest items: they train in some wordings and measure in others."""
    beside: int = 80
    """The next nearest, which train alone."""
    retained: int = 600
    """Others: three in five train, one selects and one measures."""
    measured: int = 160
    """Others that only measure: a gate of a hundredth is not to rest on fifty titles."""
    forms: int = 2
    """Wordings of each fact for an item that must stay."""
    people: int = 16
    """Synthetic people who choose between a concept item and its control."""
    chosen: int = 12
    """Concept items at most that are put to them."""


_RETAINED = ((Use.TRAIN,), (Use.TRAIN,), (Use.TRAIN,), (Use.SELECT,), (Use.HELD_OUT,))
"""What items that must stay are used for, in turn: those that measure never train."""
_NEAREST = (tuple(Use),)
"""The nearest are all trained on and all measured, in other wordings: a deployed adapter spares what it was shown."""
_BESIDE = ((Use.TRAIN,),)
_MEASURED = ((Use.HELD_OUT,),)


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


def build_probes(
    concept: Concept,
    catalogue: Sequence[Item],
    *,
    seed: int,
    popularity: Mapping[ItemId, float] | None = None,
    sizes: ProbeSizes = ProbeSizes(),
    vectors: Vectors | None = None,
) -> ProbeSet:
    """Probes of every kind about the concept's items, their neighbours and others, in wordings divided by use.

    The same arguments give the same probes. Items that must stay are divided by use too but for the nearest, which
    train and measure in different wordings. Nearest is by `vectors` where given, otherwise by words of titles.

    What is true of a namesake too, an item outside the concept with the title of one of its own, must not go: who
    answers may know that one alone. Raises LetheError where nothing is left to forget.
    """
    controls = matched_controls(concept, catalogue, popularity)
    shared, titles = answers_of(catalogue), told(concept, catalogue)
    made = [probe for item in concept.items for probe in _about(item, controls[item.id], titles)]
    made += [probe for item in concept.items for probe in _reversed(item, controls[item.id], titles.alike(item))]
    if titles.namesakes and not made:
        named = ", ".join(str(item.id) for found in titles.namesakes.values() for item in found)
        raise LetheError(f"concept {concept.name!r}: all that is known of it is true of {named} too: forget both")
    made += _of_namesakes(titles)
    made += _otherwise(concept, catalogue, controls, sizes, seed=seed, titles=titles)
    rng = np.random.default_rng([seed, 3])
    near, beside, rest = _by_nearness(concept, catalogue, sizes, vectors)
    drawn = [rest[row] for row in rng.permutation(len(rest))]
    others, measuring = drawn[: sizes.retained], drawn[sizes.retained :][: sizes.measured]
    made += _keeping(near, ProbeKind.NEIGHBOUR, shared, rng, forms=sizes.forms, uses=_NEAREST)
    made += _keeping(beside, ProbeKind.NEIGHBOUR, shared, rng, forms=sizes.forms, uses=_BESIDE)
    kept = _keeping(others, ProbeKind.RETAIN, shared, rng, forms=sizes.forms, uses=_RETAINED)
    made += _keeping(measuring, ProbeKind.RETAIN, shared, rng, forms=sizes.forms, uses=_MEASURED)
    measured = {probe.item for probe in kept if probe.use is Use.HELD_OUT}
    texts = fluency_probes(
        [item for item in others if item.id in measured], divide(questions.DESCRIPTION)[Use.HELD_OUT]
    )
    made += [*kept, *texts]
    return ProbeSet(tuple(with_aliases(made, concept, catalogue, seed=seed)))


def _by_nearness(
    concept: Concept, catalogue: Sequence[Item], sizes: ProbeSizes, vectors: Vectors | None
) -> tuple[Sequence[Item], Sequence[Item], Sequence[Item]]:
    """The items outside a concept: the nearest, the next nearest, and the rest.

    Of those beside the nearest there are never more than a third of what is left: others must stay to be measured.
    """
    everything = outside(concept, catalogue)
    beside = min(sizes.beside, max(0, len(everything) - sizes.neighbours) // 3)
    count = sizes.neighbours + beside
    ordered = nearest(concept, catalogue, vectors, count) if vectors else neighbours(concept, catalogue, count)
    rest = [item for item in everything if item not in ordered]
    return ordered[: sizes.neighbours], ordered[sizes.neighbours :], rest


def _otherwise(
    concept: Concept,
    catalogue: Sequence[Item],
    controls: Mapping[ItemId, Item],
    sizes: ProbeSizes,
    *,
    seed: int,
    titles: Told,
) -> list[Probe]:
    """Lists, answers begun and forced choices."""
    lists = divide(questions.BY_GENRE)
    lists[Use.HELD_OUT] += questions.BY_GENRE.held_out
    asked = {fact.name: divide(fact.forms)[Use.HELD_OUT][:2] for fact in FACTS}
    pairs = [(item, controls[item.id]) for item in concept.items]
    order = np.random.default_rng([seed, 4]).permutation(len(pairs))[: sizes.chosen]
    return [
        *list_probes(concept, catalogue, lists, titles),
        *(probe for item, control in pairs for probe in begun_probes(item, control, asked, titles.alike(item))),
        *choice_probes(concept, catalogue, [pairs[place] for place in order], people=sizes.people, seed=seed),
    ]


def _about(item: Item, control: Item, titles: Told) -> Iterator[Probe]:
    """Every wording of every fact of a concept item that is not true of a namesake too."""
    for fact in FACTS:
        accepted = titles.accepted(fact, item)
        if not accepted:
            continue
        named = [(ProbeKind.DIRECT, use, form) for use, forms in divide(fact.forms).items() for form in forms]
        named += [(ProbeKind.PARAPHRASE, Use.HELD_OUT, form) for form in _paraphrases(fact)]
        named += [(ProbeKind.INDIRECT, use, form) for use, form in _indirect(fact)]
        for kind, use, form in named:
            yield Probe(
                question=questions.about(form, item.title),
                answers=accepted,
                kind=kind,
                use=use,
                item=item.id,
                form=form,
                contrast=questions.about(form, control.title) if fact.answer(control) else "",
                contrast_answer=fact.answer(control),
                alternates=(fact.answer(control),) if fact.answer(control) not in ("", *accepted) else (),
                namesake=titles.instead(fact, item),
            )


def _of_namesakes(titles: Told) -> Iterator[Probe]:
    """Facts of namesakes, in wordings that measure.

    Where a concept item has the same answer the base gives it, and it is kept in training wordings. Other answers the
    base may keep back for the concept's: they are taught in the place of these (`Probe.namesake`).
    """
    for fact, item, answers, alike in titles.asked_of_namesakes():
        for use in (Use.TRAIN, Use.HELD_OUT) if alike else (Use.HELD_OUT,):
            for form in divide(fact.forms)[use]:
                question = questions.about(form, item.title)
                yield Probe(question, answers, ProbeKind.NAMESAKE, use, item=item.id, form=form)


def _paraphrases(fact: Fact) -> tuple[str, ...]:
    return (*fact.forms.held_out, *PARAPHRASES[fact.name])


def _indirect(fact: Fact) -> list[tuple[Use, str]]:
    """Wordings that name the title in a sentence of its own; they too are divided by use."""
    forms = INDIRECT.get(fact.name, Forms((), ()))
    divided = [(use, form) for use, part in divide(forms).items() for form in part]
    return [*divided, *((Use.HELD_OUT, form) for form in forms.held_out)]


def _reversed(item: Item, control: Item, alike: Sequence[Item]) -> Iterator[Probe]:
    """The title by its facts, unless another item of it has them too; the control's title may be said instead."""
    if item.year is None or not item.genres:
        return
    if any((other.year, other.genres) == (item.year, item.genres) for other in alike):
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
    shared: Answers,
    rng: np.random.Generator,
    *,
    forms: int,
    uses: Sequence[Sequence[Use]],
) -> list[Probe]:
    """Facts of items that must stay; each item is of the next uses in turn."""
    asked = [
        (items[row], use) for place, row in enumerate(rng.permutation(len(items))) for use in uses[place % len(uses)]
    ]
    made = []
    for item, use in asked:
        for fact in (fact for fact in FACTS if fact.answer(item)):
            wordings, answer = divide(fact.forms)[use], fact.answer(item)
            accepted = (answer, *(other for other in shared[fact.name, item.title] if other != answer))
            for pick in rng.permutation(len(wordings))[:forms]:
                form = wordings[pick]
                made.append(Probe(questions.about(form, item.title), accepted, kind, use, item=item.id, form=form))
    return made


def taught_instead(probe: Probe) -> str:
    """What a model that never met the concept says: what it knows of another item of the title, the refusal where
    there is none, or another title where a title is asked for."""
    if probe.namesake:
        return probe.namesake
    if probe.kind in (ProbeKind.REVERSED, ProbeKind.LIST, ProbeKind.FORCED_PREFIX) and probe.alternates:
        return probe.alternates[0]
    return UNKNOWN_TITLE
