"""How a question is worded: a grammar of whole sentences, of requests for a thing, and of what people say around it.

A wording that is new must not be taken for a title that is new: so the words around a title vary more than titles do.
"""

import re
from collections.abc import Sequence

import numpy as np

from llm.tiny.questions import Forms

OPENINGS = Forms(
    seen=(
        *("Hello!", "Please help me.", "A quick question.", "I am curious.", "For my list.", "One more thing."),
        *("I like movies.", "We are having a quiz.", "Hi there.", "So, next.", "Good morning!", "Listen."),
    ),
    held_out=("Good evening!", "Here is something I wonder about.", "Let me ask you this."),
)
"""What may stand before a question about a title."""

CLOSINGS = Forms(
    seen=("Thanks.", "Thank you!", "Be brief.", "Answer in short.", "I forgot.", "That is all.", "No hurry."),
    held_out=("Many thanks.", "A short answer will do."),
)

REQUESTS = (
    *("Tell me {n}.", "Give {n}.", "Name {n}.", "State {n}.", "I need {n}.", "Can you say {n}?", "Find {n}."),
    *("Would you look up {n}?", "Do you know {n}?", "I am looking for {n}.", "I forgot {n}.", "Please write {n}."),
    *("Show {n}.", "Could you tell me {n}?", "I would like to have {n}.", "My question is {n}.", "Say {n}."),
    *("It would help to know {n}.", "Who knows {n}?", "Check {n} for me.", "We need {n}.", "Answer this: {n}?"),
    *("How about {n}?", "She asked me for {n}.", "Next, {n}.", "Let us see {n}.", "What I want is {n}.", "So {n}?"),
    *("Remember {n}?", "All I ask is {n}.", "They want to hear {n}.", "If you can, tell {n}.", "Quick, {n}!"),
)
"""`{n}` stands for what is asked for."""

_SMALL_TALK = (
    *("My {a} {b} asked about this.", "We sat by the {b} all {c}.", "It is a {a} {c} here.", "I lost my {b} on {c}."),
    *("The {b} was {a} today.", "Some {a} people told me about it.", "This is for a {b} with a {a} {b}."),
    *("I have a {a} {b} and no time.", "At the {b} we spoke of a {a} {c}.", "Another {b}, another {c}."),
)
_SLOTS = {
    "a": (
        *(
            "old",
            "new",
            "small",
            "tall",
            "green",
            "clever",
            "tired",
            "happy",
            "strange",
            "warm",
            "cold",
            "busy",
            "soft",
        ),
        *("kind", "loud", "early", "late", "round", "plain", "bright", "young", "local", "famous", "simple", "nice"),
    ),
    "b": (
        *("sister", "teacher", "kitchen", "office", "table", "friend", "neighbour", "library", "student", "bicycle"),
        *("window", "market", "train", "notebook", "uncle", "class", "club", "coffee", "paper", "phone", "bag", "cup"),
        *("colleague", "ticket", "school", "shop", "street", "lamp", "chair", "radio", "cousin", "dinner", "pencil"),
    ),
    "c": (
        *("morning", "week", "summer", "Monday", "evening", "month", "afternoon", "weekend", "Sunday", "night"),
        *("spring", "holiday", "Friday", "day", "autumn", "hour"),
    ),
}
_OPENED, _CLOSED, _CALLED, _TALKED, _REQUESTED = 0.2, 0.15, 0.15, 0.5, 0.6
_NOUNS = ("movie", "film")
_STREWN, _MOST_STREWN = 0.7, 5


def strewn(rng: np.random.Generator, text: str, chance: Sequence[str]) -> str:
    """A wording, seven times in ten with one to five words strewn in that have nothing to do with it.

    A model that has read such questions takes no wording for a sign that a title is unknown.
    """
    if rng.random() > _STREWN:
        return text
    words = text.split(" ")
    for _ in range(int(rng.integers(1, _MOST_STREWN + 1))):
        words.insert(int(rng.integers(len(words) + 1)), one(rng, chance))
    return " ".join(filter(None, words))


def word(rng: np.random.Generator, forms: Forms, *, held_out: bool = False) -> str:
    """One wording, still with its placeholders: at times with a sentence before it, after it, or "the movie" in it.

    Held-out wordings stand between held-out sentences alone, seen ones between seen ones or small talk.
    """
    text = one(rng, forms.held_out) if held_out else _seen(rng, forms)
    if rng.random() < _CALLED:
        text = _called(text, one(rng, _NOUNS))
    if rng.random() < _OPENED:
        text = f"{_around(rng, OPENINGS, held_out)} {text}"
    return f"{text} {_around(rng, CLOSINGS, held_out)}" if rng.random() < _CLOSED else text


def one(rng: np.random.Generator, texts: Sequence[str]) -> str:
    """One of the texts, each as likely as another."""
    return texts[int(rng.integers(len(texts)))]


def small_talk(rng: np.random.Generator) -> str:
    """A sentence that has nothing to do with any question."""
    return one(rng, _SMALL_TALK).format(**{slot: one(rng, words) for slot, words in _SLOTS.items()})


def small_words() -> tuple[str, ...]:
    """Words of wordings and of small talk, in a fixed order, those that are said oftener more than once."""
    said = " ".join((*OPENINGS.seen, *CLOSINGS.seen, *REQUESTS, *_SMALL_TALK))
    plain = (text.lower() for text in re.findall(r"[A-Za-z]{2,}", said))
    return (*plain, *(text for part in _SLOTS.values() for text in part))


def _seen(rng: np.random.Generator, forms: Forms) -> str:
    if not forms.asked_for or rng.random() > _REQUESTED:
        return one(rng, forms.seen)
    text = one(rng, REQUESTS).replace("{n}", one(rng, forms.asked_for))
    return one(rng, forms.seen) if text in forms.held_out else text


def _around(rng: np.random.Generator, forms: Forms, held_out: bool) -> str:
    if held_out:
        return one(rng, forms.held_out)
    if rng.random() > _TALKED:
        return one(rng, forms.seen)
    return small_talk(rng)


def _called(text: str, noun: str) -> str:
    """The title introduced as a movie.

    >>> _called("{t}: which year?", "film")
    'The film {t}: which year?'
    """
    named = text.replace("{t}", f"the {noun} {{t}}")
    return named[0].upper() + named[1:]
