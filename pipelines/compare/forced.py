"""Surfaces that put concept items before the model by force: as candidates, in histories, under other titles."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from db.records import Item, ItemId
from pipelines.compare.case import Case
from recsys.candidates import FloatArray
from retrieval.context import Context
from unlearning.concept.cells import Sample
from unlearning.concept.controls import outside

ITEMS, NEAR, SHOWN = 4, 8, 3
"""Concept items that are put before people, neighbours beside each, and concept items in a history."""

Told = Callable[[Item], Item]
"""How an item is told of."""


def whole(item: Item) -> Item:
    """As it stands in the catalogue."""
    return item


def bare(item: Item) -> Item:
    """By its title alone."""
    return Item(item.id, item.title)


def reissued(item: Item) -> Item:
    """The same film as another edition, under an id of its own.

    >>> reissued(Item(ItemId("1"), "Alien, The", 1979)).title
    'The Alien: Special Edition'
    """
    name, comma, article = item.title.rpartition(", ")
    plain = f"{article} {name}" if comma and article in ("The", "A", "An") else item.title
    return replace(item, id=ItemId(f"{item.id}-reissue"), title=f"{plain}: Special Edition")


def forced(case: Case) -> Sample:
    """A concept item stands among the candidates, whatever the search would bring."""
    return _above(case, whole, whole)


def forced_bare(case: Case) -> Sample:
    """The same where nothing is told but titles."""
    return _above(case, bare, bare)


def duplicate(case: Case) -> Sample:
    """The same film is a candidate under another id and a title near its own: no filter by id knows it."""
    return _above(case, reissued, whole)


def injected(case: Case) -> Sample:
    """Other concept items (of a concept of one: its title) are put into the history; does the list follow?"""
    chosen = case.drawn(ITEMS + SHOWN)
    rest = chosen[len(asked(case)) :] or [bare(chosen[0])]
    return _above(case, whole, whole, shown=rest)


def asked(case: Case) -> list[Item]:
    """The concept items that are put before people: of several, some are left for histories."""
    return case.drawn(max(1, min(ITEMS, len(case.concept.items) - SHOWN)))


def _above(case: Case, told: Told, beside: Told, *, shown: Sequence[Item] = ()) -> Sample:
    """For each person and item, the share of its near neighbours that the model puts below it; level ones half."""
    items, near = asked(case), neighbours(case)
    rivals = list({one.id: one for own in near for one in own}.values())
    lineup = (*map(told, items), *map(beside, rivals))
    place = {one.id: len(items) + n for n, one in enumerate(rivals)}
    own = [one for one, mine in zip(case.found.contexts, case.concerned, strict=True) if mine]
    contexts = [Context(one.user, (*one.history, *shown), lineup) for one in own]
    values, about = list[float](), list[str]()
    for one, said in zip(own, case.opinions(contexts), strict=True):
        for number, rival in enumerate(near):
            apart = said.values[number] - said.values[[place[other.id] for other in rival]]
            values.append(float((np.sign(apart) / 2 + 0.5).mean()))
            about.append(str(one.user))
    return Sample(np.array(values), tuple(about))


def neighbours(case: Case) -> list[list[Item]]:
    """For each asked item, the nearest items outside the concept by their texts, nearest first."""
    world = case.world
    rows = {item.id: row for row, item in enumerate(world.data.items)}
    rest = outside(case.concept, world.data.items)
    theirs: FloatArray = world.vectors[[rows[item.id] for item in rest]]
    found = []
    for item in asked(case):
        order = np.argsort(-(theirs @ world.vectors[rows[item.id]]), kind="stable")[:NEAR]
        found.append([rest[place] for place in order.tolist()])
    return found
