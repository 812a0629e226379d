"""Which items stand against a concept: matched controls, near neighbours, and the rest."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from db.errors import LetheError
from db.records import Item, ItemId
from unlearning.concept.base import Concept


def outside(concept: Concept, catalogue: Sequence[Item]) -> tuple[Item, ...]:
    """The catalogue without the concept's items and without others of the same titles: asked by title, they are one."""
    titles = {item.title for item in concept.items}
    return tuple(item for item in catalogue if item.id not in concept.ids and item.title not in titles)


def matched_controls(
    concept: Concept, catalogue: Sequence[Item], popularity: Mapping[ItemId, float] | None = None
) -> dict[ItemId, Item]:
    """For each concept item the item outside it that is most like it; none serves twice while there are others.

    Like in popularity first, if that is given (by rank), then in genres and year: what differs is then the concept.
    """
    rest = outside(concept, catalogue)
    if not rest:
        raise LetheError(f"concept {concept.name!r} is the whole catalogue: nothing is left to compare it with")
    ranks = _ranks((*concept.items, *rest), popularity)
    chosen: dict[ItemId, Item] = {}
    taken: set[ItemId] = set()
    for item in concept.items:
        free = [other for other in rest if other.id not in taken] or list(rest)
        best = min(free, key=lambda other: (unlike(item, other) + 4 * abs(ranks[item.id] - ranks[other.id]), other.id))
        chosen[item.id] = best
        taken.add(best.id)
    return chosen


def unlike(item: Item, other: Item) -> float:
    """Distance in genres (1 - Jaccard) and in years (a decade counts 0.5), from 0 to 2."""
    mine, theirs = set(item.genres), set(other.genres)
    genres = 1 - len(mine & theirs) / len(mine | theirs) if mine or theirs else 0.0
    if item.year is None or other.year is None:
        return genres + (item.year != other.year)
    return genres + min(1.0, abs(item.year - other.year) / 20)


def neighbours(concept: Concept, catalogue: Sequence[Item], count: int) -> tuple[Item, ...]:
    """The items outside the concept most easily taken for it: by words of titles rare elsewhere, then by facts."""
    rest = outside(concept, catalogue)
    rarity = _rarity((*concept.items, *rest))
    weight = Counter(word for item in concept.items for word in _words(item.title))

    def _near(other: Item) -> tuple[float, float, str]:
        shared = sum(rarity[word] * weight[word] for word in _words(other.title))
        return -shared, min(unlike(item, other) for item in concept.items), other.id

    return tuple(sorted(rest, key=_near)[:count])


def _words(title: str) -> set[str]:
    return {word for word in "".join(c if c.isalnum() else " " for c in title.casefold()).split() if len(word) > 2}


def _rarity(items: Sequence[Item]) -> dict[str, float]:
    """Inverse document frequency of the words of titles, in nats."""
    counts = Counter(word for item in items for word in _words(item.title))
    return {word: float(np.log(len(items) / n)) for word, n in counts.items()}


def _ranks(items: Sequence[Item], popularity: Mapping[ItemId, float] | None) -> dict[ItemId, float]:
    """Rank in popularity from 0 to 1, ties alike; 0 for all where it is not known."""
    if popularity is None:
        return dict.fromkeys((item.id for item in items), 0.0)
    values = np.array([popularity.get(item.id, 0.0) for item in items])
    places = np.searchsorted(np.sort(values), values) / max(1, len(values) - 1)
    return dict(zip((item.id for item in items), places.tolist(), strict=True))
