"""What happens to sentences by accident: slips of the keys, other words for the same, words out of place."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llm.prompt import NO, RANKING, SERVED, YES, Wording

Disturb = Callable[[str, np.random.Generator], str]
"""Another form of a sentence."""

SENTENCES = ("liked", "profile", "note", "judge", "candidate", "candidates", "best", "order", "free")

SPARED = frozenset({YES, NO, RANKING, "json"})
"""The form of the answer depends on these: they stay as they are."""

SYNONYMS: Mapping[str, Sequence[str]] = {
    "person": ("viewer", "user", "customer"),
    "liked": ("enjoyed", "loved", "appreciated"),
    "like": ("enjoy", "love", "appreciate"),
    "profile": ("taste", "summary"),
    "candidate": ("option", "suggestion", "title"),
    "candidates": ("options", "suggestions", "titles"),
    "answer": ("reply", "respond"),
    "order": ("rank", "sort", "arrange"),
    "appears": ("occurs", "stands"),
    "exactly": ("precisely", "just"),
    "ends": ("closes", "finishes"),
    "history": ("record", "past"),
    "shares": ("has", "contains"),
    "genres": ("categories", "kinds"),
    "recommend": ("suggest", "propose"),
    "best": ("most", "above all"),
}

ASIDES = (
    "It rained all morning, and the market closed early.",
    "The train to the coast leaves at nine and takes two hours.",
    "A litre of milk is enough for four bowls of porridge.",
    "Our neighbours have painted their fence green.",
    "The library moved to the other side of the square last spring.",
    "Most kettles switch themselves off when the water boils.",
)
"""Sentences that have nothing to do with any request."""

TALK: Mapping[str, tuple[tuple[str, str], ...]] = {
    "a greeting": (("Hello! Do you have a moment?", "Of course. How can I help?"),),
    "small talk": (
        ("Hello! Do you have a moment?", "Of course. How can I help?"),
        ("First of all, thank you for last week.", "You are welcome."),
        ("Now I need help with something else.", "Go ahead."),
    ),
    "another person": (
        ("My brother watches nothing but war films and westerns.", "I see."),
        ("This is about somebody else, though.", "All right, tell me."),
    ),
}
"""What may have been said before, by name."""

_WORDS = re.compile(r"[A-Za-z]+")
_LONG = 4
"""Letters that a word has at least before a slip is made in it."""


def typos(text: str, rng: np.random.Generator, *, share: float = 0.2) -> str:
    """A letter dropped, doubled or changed places with the next, in a share of the longer words (one at least)."""
    return _replaced(text, rng, share, {word: _slipped for word in _known(text) if len(word) >= _LONG})


def synonyms(text: str, rng: np.random.Generator, *, share: float = 0.5) -> str:
    """Other words for a share of those that have any (one at least)."""
    return _replaced(text, rng, share, {word: _other for word in _known(text) if word in SYNONYMS})


def word_order(text: str, rng: np.random.Generator, *, share: float = 0.3) -> str:
    """A share of the words (one at least) changed places with the next word; what stands between them stays."""
    found = [match for match in _WORDS.finditer(text) if match[0].lower() not in SPARED]
    if len(found) < 2:
        return text
    words = [match[0] for match in found]
    for place in rng.choice(len(words) - 1, size=_count(len(words) - 1, share), replace=False).tolist():
        words[place], words[place + 1] = words[place + 1], words[place]
    return _put(text, dict(zip(((match.start(), match.end()) for match in found), words, strict=True)))


def disturbed(how: Disturb, rng: np.random.Generator, wording: Wording = SERVED) -> Wording:
    """Every sentence of a wording, disturbed."""
    sentences: dict[str, Any] = {name: how(getattr(wording, name), rng) for name in SENTENCES}
    return replace(wording, **sentences)


Change = Callable[[str, np.random.Generator], str]


def _known(text: str) -> set[str]:
    """The words of a sentence that may change, in small letters."""
    return {word.lower() for word in _WORDS.findall(text)} - SPARED


def _replaced(text: str, rng: np.random.Generator, share: float, changes: Mapping[str, Change]) -> str:
    able = [match for match in _WORDS.finditer(text) if match[0].lower() in changes]
    if not able:
        return text
    chosen = sorted(rng.choice(len(able), size=_count(len(able), share), replace=False).tolist())
    found = [able[place] for place in chosen]
    return _put(text, {(m.start(), m.end()): changes[m[0].lower()](m[0], rng) for m in found})


def _count(able: int, share: float) -> int:
    return max(1, round(share * able))


def _put(text: str, words: Mapping[tuple[int, int], str]) -> str:
    """The text with other words at these places."""
    parts, end = [], 0
    for (start, stop), word in sorted(words.items()):
        parts += [text[end:start], word]
        end = stop
    return "".join([*parts, text[end:]])


def _slipped(word: str, rng: np.random.Generator) -> str:
    """The first letter stays."""
    place = int(rng.integers(1, len(word) - 1))
    before, two, after = word[:place], word[place : place + 2], word[place + 2 :]
    return (before + two[1] + after, before + two[0] + two + after, before + two[::-1] + after)[int(rng.integers(3))]


def _other(word: str, rng: np.random.Generator) -> str:
    known = SYNONYMS[word.lower()]
    found = known[int(rng.integers(len(known)))]
    return found.capitalize() if word[0].isupper() else found
