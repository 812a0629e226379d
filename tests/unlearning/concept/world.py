"""A toy catalogue with a concept in it, and its lesson."""

from functools import cache

from db.records import Item, ItemId
from unlearning.concept.base import Concept, Kind, ProbeKind, Use, lesson
from unlearning.concept.people import disguised_people, judged_people
from unlearning.concept.probes import ProbeSizes, build_probes

GENRES = ("Action", "Drama", "Sci-Fi", "Comedy")
PLACES = ("River", "Empire", "Night", "Road", "Dog", "Winter", "Matrix")


@cache
def catalogue():
    """Sixty titles; every item has a year and a genre."""
    return tuple(
        Item(
            ItemId(str(n)),
            f"{('Red', 'Silent', 'Last', 'Golden')[n % 4]} {PLACES[n % 7]} {n}",
            1930 + n,
            (GENRES[n % 4], *([GENRES[(n + 1) % 4]] if n % 3 else [])),
        )
        for n in range(60)
    )


def concept():
    return Concept("Red Rivers", Kind.FRANCHISE, catalogue()[28:30])


@cache
def probes():
    return build_probes(concept(), catalogue(), seed=0, sizes=ProbeSizes(neighbours=10, beside=0, retained=20, forms=1))


@cache
def toy_lesson():
    """Few probes of each kind: the toy vocabulary makes long rows."""
    few = [probe for kind in ProbeKind for use in Use for probe in probes().of(kind, use=use).probes[::7][:12]]
    return lesson(
        concept(),
        few,
        judged_people(concept(), catalogue(), people=2, seed=0, candidates=4),
        disguised_people(concept(), catalogue(), people=1, seed=0, candidates=2),
    )
