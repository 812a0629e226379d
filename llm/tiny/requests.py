"""The words in which people are asked about: a request for a judgement or a list, in wordings drawn for training.

None of the sentences and labels here are among those that drift is measured by; a test says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llm.prompt import JSON_ONLY, NO, SERVED, YES, Wording
from llm.tiny.wording import one, small_talk, strewn

_SERVED, _KEPT, _CHANCE, _ASIDE = 0.4, 0.25, 0.25, 0.15
"""The share of requests as served; in the others, of sentences as served, of labels by chance, of asides."""

_LIKED = (
    *("They liked these:", "What this person likes:", "A user rated these highly:", "Seen and liked so far:"),
    *("One of our users loved:", "She enjoyed the following:", "He gave his best marks to:", "History of a fan:"),
    *("Good ones, so they say:", "The person said yes to:", "All of these went down well:", "Somebody's best list:"),
    *("These were a success with them:", "A member has kept:", "What they came back for:", "Their top shelf:"),
)
_PROFILE = (
    *("Taste:", "In numbers:", "Overview:", "What they have in common:", "Shares:", "Put together:", "Habits:"),
    *("All in all:", "Statistics:", "That makes:"),
)
_NOTES = (
    "The two digits after a line say how much of the history has its genres, and how much its decade.",
    "At the end of each line: agreement with the history in genres / in decade, 0 to 9.",
    "The figures such as 4/7 compare a line with the history, genres before the stroke and decade after it.",
    "Every line closes with two marks of up to 9, for its genres and for its decade.",
)
_WOULD = (
    *(
        "Would it be liked?",
        "Do they like it?",
        "Is it their taste?",
        "Would this suit the person?",
        "A hit with them?",
    ),
    *("Should we offer it?", "Will this user like what comes next?", "Is the next one right for them?", "Like it?"),
    *("Can it go on their list?", "Does it go with the history?", "Are they going to love it?", "Is it for them?"),
    *("Think of their history: does this fit?", "May we send it to them?", "Worth their evening?", "Keep it for them?"),
)
_ANSWER = (
    *(f"Answer {YES} or {NO}.", f"{YES} or {NO}?", f"({YES}/{NO})", f"Only {YES} or {NO}.", f"It is {YES} or {NO}."),
    *(f"One word: {YES} or {NO}.", f"Your answer is {YES} or {NO}.", f"Use {YES} for a hit and {NO} for a miss."),
)
_LABELS = (
    *("Item:", "Offer:", "Choice:", "Next:", "Work:", "Picture:", "Story:", "Feature:", "Show:", "Piece:", "Now:"),
    *("What about:", "Here:", "Thing:", "Up for judgement:", "Product:"),
)
_LISTS = (
    *("Items:", "Offers:", "On the list:", "What there is:", "Things:", "To be judged:", "Stories:", "Works:"),
    *("Take one of:", "In stock:", "Found for them:", "The list:"),
)
_BEST = (
    *("Which is the best for them? Answer with its letter.", "The letter of the best one:", "Which one? One letter."),
    *("What would they take? Write the letter.", "Find the best one and answer with the letter before it."),
    *("Only one can be sent: which letter?", "Their first choice is which letter?", "Top of the list: which letter?"),
)
_ORDER = (
    *("Order them all, best first.", "Sort the whole list by how much they would like it.", "Best first, please."),
    *("Make it a ranking, all numbers once.", "Bring the numbers into order, from liked to not liked."),
    *("Give every number once, the best one in front.", "Which comes first, which second, and so on?"),
)


def request(rng: np.random.Generator, chance: Sequence[str]) -> Wording:
    """The words of one request: as served four times in ten, else drawn sentence by sentence.

    `chance` are words that may be strewn into sentences or stand as a label, so that no word of a request is taken for
    a sign of what somebody likes.
    """
    if rng.random() < _SERVED:
        return SERVED
    drawn = {
        "liked": strewn(rng, one(rng, _LIKED), chance),
        "profile": one(rng, _PROFILE),
        "note": one(rng, _NOTES),
        "judge": f"{strewn(rng, one(rng, _WOULD), chance)} {one(rng, _ANSWER)}",
        "candidate": _label(rng, _LABELS, chance),
        "candidates": _label(rng, _LISTS, chance),
        "best": one(rng, _BEST),
        "order": f"{strewn(rng, one(rng, _ORDER), chance)} {JSON_ONLY}",
    }
    aside = small_talk(rng) if rng.random() < _ASIDE else ""
    changed: dict[str, Any] = {name: text for name, text in drawn.items() if rng.random() > _KEPT}
    return replace(SERVED, **changed, aside=aside)


def sentences() -> frozenset[str]:
    """Every sentence and label that requests are made of, the answers' form apart."""
    return frozenset((*_LIKED, *_PROFILE, *_NOTES, *_WOULD, *_ANSWER, *_LABELS, *_LISTS, *_BEST, *_ORDER))


def _label(rng: np.random.Generator, labels: Sequence[str], chance: Sequence[str]) -> str:
    drawn = rng.random()
    word = one(rng, chance)
    return f"{word.capitalize()}:" if drawn < _CHANCE and word.isalpha() else one(rng, labels)
