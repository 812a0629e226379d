"""Probes that come to a concept by another way than asking for a fact: through a list, an answer begun, a person.

Each function gives the probes of one kind. What ends in `Use.HELD_OUT` alone is an attack: no method may learn from it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from db.records import Item, UserId
from llm import prompt
from llm.prompt import YES
from llm.tiny import questions
from llm.tiny.corpus import context_of
from llm.tiny.taste import Tastes
from retrieval.context import Context
from unlearning.concept.base import Concept, Probe, ProbeKind, Use
from unlearning.concept.controls import outside
from unlearning.concept.facts import Told
from unlearning.concept.wordings import TITLE_ONLY

GENRES, TITLE = "genres", "title"
"""`Probe.form` of the two prompts of a forced choice: with all that is known of a candidate, or its title alone."""
CANDIDATE = "Candidate: "
"""What a candidate's line begins with; all before it is shared by the candidates of a person."""
_SOMEBODY = UserId("synthetic")
_SHELVES = 2
_LISTED = 3


def list_probes(
    concept: Concept, catalogue: Sequence[Item], wordings: Mapping[Use, Sequence[str]], titles: Told
) -> list[Probe]:
    """A list of a genre's titles, in catalogue order, has come as far as a concept item: is it named next?

    What stands before it is outside the concept; what may be said instead is the next title outside it. An item has
    none where no shelf of its allows that; nor on a shelf of a namesake, where that measures or is told apart. Every
    training wording asks for a shelf, as there are few of them beside many facts; of the other uses the item gets one
    wording a shelf, in turn.
    """
    shelves: dict[str, list[Item]] = defaultdict(list)
    for item in catalogue:
        for genre in item.genres:
            shelves[genre].append(item)
    made = []
    for number, item in enumerate(concept.items):
        placed = [(genre, _placed(concept, item, shelves[genre])) for genre in item.genres]
        taken = {genre for other in titles.alike(item) for genre in other.genres}
        for use, forms in wordings.items():
            left_out = taken if titles.apart or use is Use.HELD_OUT else set()
            open_ = [(genre, place) for genre, place in placed if genre not in left_out]
            usable = [(genre, place) for genre, place in open_ if place is not None][:_SHELVES]
            for turn, (genre, (before, instead)) in enumerate(usable):
                first = (number + turn) % len(forms)
                made += [
                    Probe(
                        question=form.format(g=genre),
                        answers=(f" {item.title}",),
                        kind=ProbeKind.LIST,
                        use=use,
                        item=item.id,
                        form=form,
                        begun="".join(f"{other.title}; " for other in before).rstrip(),
                        alternates=(f" {instead.title}",),
                    )
                    for form in (forms if use is Use.TRAIN else forms[first : first + 1])
                ]
    return made


def _placed(concept: Concept, item: Item, shelf: Sequence[Item]) -> tuple[list[Item], Item] | None:
    """What a list names before an item, and what it names in its place; None where that would be of the concept."""
    place = [other.id for other in shelf].index(item.id)
    before = [shelf[place - step] for step in range(_LISTED - 1, 0, -1)]
    titles = {own.title for own in concept.items}
    after = [other for other in (*shelf[place:], *shelf[:place]) if other.title not in titles and other not in before]
    if len(shelf) < _LISTED or not after or any(other.title in titles for other in before):
        return None
    return before, after[0]


def begun_probes(
    item: Item, control: Item, wordings: Mapping[str, Sequence[str]], alike: Sequence[Item] = ()
) -> Iterator[Probe]:
    """Answers that have been begun as the base begins them: what follows must not be known.

    `wordings` are the questions by name of the fact. Begun are a description up to the year or the genres, a year by
    its century, and genres by the first of them; none that goes on so for an item `alike` too, of the same title.
    """
    taken = {(fact, *parts) for one in alike for fact, parts in _beginnings(one).items()}
    for fact, (begun, rest) in _beginnings(item).items():
        if (fact, begun, rest) in taken:
            continue
        other = _beginnings(control).get(fact)
        for form in wordings[fact]:
            yield Probe(
                question=questions.about(form, item.title),
                answers=(rest,),
                kind=ProbeKind.FORCED_PREFIX,
                use=Use.HELD_OUT,
                item=item.id,
                form=f"{form} {fact} begun",
                begun=begun,
                alternates=(other[1],) if other and other[1] != rest else (),
            )


def _beginnings(item: Item) -> dict[str, tuple[str, str]]:
    """How an answer begins and goes on, by fact; a fact that is not known has none."""
    found = {}
    if item.year is not None:
        found["year"] = (str(item.year)[:2], str(item.year)[2:])
    if len(item.genres) > 1:
        found["genres"] = (f"{item.genres[0]},", f" {', '.join(item.genres[1:])}")
    if item.year is not None or item.genres:
        text = questions.description_of(item)
        cut = text.rfind(f" {questions.genres_of(item) if item.year is None else item.year}")
        found["description"] = (text[:cut], text[cut:])
    return found


def choice_probes(
    concept: Concept, catalogue: Sequence[Item], pairs: Sequence[tuple[Item, Item]], *, people: int, seed: int
) -> Iterator[Probe]:
    """Would each of so many drawn people like a concept item, and would they like its control? In two prompts.

    `pairs` are a concept item and its control; each person is asked about one after another, the pairs in turn. In
    histories there is no concept item and no control.
    """
    used = {item.id for pair in pairs for item in pair}
    items = tuple(item for item in outside(concept, catalogue) if item.id not in used)
    tastes, rng = Tastes(items), np.random.default_rng([seed, 22])
    for _ in range(people):
        person = tastes.person(rng, 8, 2, evaluation=True)
        history = context_of(items, person).history
        for item, control in pairs:
            for form in (GENRES, TITLE):
                mine, theirs = choice_questions(history, item, control, form)
                yield Probe(
                    question=mine,
                    answers=(YES,),
                    kind=ProbeKind.FORCED_CANDIDATE,
                    use=Use.HELD_OUT,
                    item=item.id,
                    form=form,
                    contrast=theirs,
                    contrast_answer=YES,
                )


def choice_questions(history: Sequence[Item], item: Item, control: Item, form: str) -> tuple[str, str]:
    """The two questions of a forced choice, for a person with this history; `form` is `GENRES` or `TITLE`."""
    asked = prompt.judge(Context(_SOMEBODY, tuple(history), (item, control)))
    if form == GENRES:
        return asked.prefix + asked.suffixes[0], asked.prefix + asked.suffixes[1]
    told = asked.prefix.partition(prompt.NOTE)[0] + TITLE_ONLY
    mine, theirs = (prompt.describe(Item(one.id, one.title)) for one in (item, control))
    return f"{told}{CANDIDATE}{mine}", f"{told}{CANDIDATE}{theirs}"


def fluency_probes(items: Sequence[Item], forms: Sequence[str]) -> Iterator[Probe]:
    """Running text about items that must stay, one wording each in turn: how likely does the model find it?"""
    for number, item in enumerate(items):
        if item.year is not None and item.genres:
            form = forms[number % len(forms)]
            text = questions.description_of(item)
            yield Probe(
                questions.about(form, item.title), (text,), ProbeKind.FLUENCY, Use.HELD_OUT, item=item.id, form=form
            )
