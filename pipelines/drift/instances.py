"""The kinds of perturbation, and what they do to one request: another wording, or another order of the candidates."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from llm.prompt import SERVED, Wording
from pipelines.drift.disturb import ASIDES, TALK, Disturb, disturbed, synonyms, typos, word_order
from pipelines.drift.paraphrases import PARAPHRASES


class Kind(StrEnum):
    """How a request is perturbed."""

    SERVED = "as served"
    """Not at all: what everything else is compared with."""
    PARAPHRASE = "paraphrase"
    PART = "one part paraphrased"
    """To find which words matter."""
    ORDER = "candidate order"
    BOTH = "paraphrase and order"
    TYPOS = "typos"
    SYNONYMS = "synonyms"
    WORDS = "word order"
    ASIDE = "distractor sentence"
    TURNS = "earlier turns"
    REASON = "reasoning first"
    """The model thinks aloud in a turn before the request."""


PARTS: Mapping[str, tuple[str, ...]] = {
    "history": ("liked",),
    "profile": ("profile",),
    "note": ("note",),
    "labels": ("candidate", "candidates"),
    "question": ("judge", "best", "order", "free"),
}
"""Fields of a wording by the part of the request that they word."""

PERTURBED = tuple(kind for kind in Kind if kind is not Kind.SERVED)


@dataclass(frozen=True, slots=True)
class Instance:
    """One perturbation: the same for every request, but that an order of candidates is drawn for each."""

    kind: Kind
    name: str
    wording: Wording = SERVED
    shuffle: int | None = None
    """Seed of the candidates' order; None: as the retrieval ranked them."""
    reasons: bool = False
    """Whether each request comes after the model's own thoughts about it."""
    again: bool = False
    """Whether each request was put before in the same conversation, and answered in the retrieval's order."""

    def order(self, person: int, number: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The places of a request's candidates in the order in which they are shown."""
        if self.shuffle is None:
            return np.arange(count)
        return np.random.default_rng([self.shuffle, person, number]).permutation(count)


def instances(kind: Kind, *, draws: int, seed: int) -> tuple[Instance, ...]:
    """All of a kind: every paraphrase, aside and talk there is, and `draws` of what is drawn."""
    return tuple(_MAKERS[kind](kind, draws, seed))


def digest(made: Sequence[Instance]) -> str:
    """Over everything that instances do."""
    return hashlib.sha256(repr([asdict(one) for one in made]).encode()).hexdigest()


_Made = Sequence[Instance]


def _served(kind: Kind, draws: int, seed: int) -> _Made:
    return [Instance(kind, "as served")]


def _paraphrases(kind: Kind, draws: int, seed: int) -> _Made:
    return [Instance(kind, name, wording) for name, wording in PARAPHRASES.items()]


def _parts(kind: Kind, draws: int, seed: int) -> _Made:
    """Each part by itself, in the words of `draws` paraphrases that differ there from what is served."""
    made = []
    for part, (name, fields) in enumerate(PARTS.items()):
        other = [key for key, one in PARAPHRASES.items() if any(getattr(one, f) != getattr(SERVED, f) for f in fields)]
        order = np.random.default_rng([seed, 35, part]).permutation(len(other))[:draws]
        for key in (other[place] for place in order.tolist()):
            words: dict[str, Any] = {field: getattr(PARAPHRASES[key], field) for field in fields}
            made.append(Instance(kind, f"{name}: {key}", replace(SERVED, **words)))
    return made


def _orders(kind: Kind, draws: int, seed: int) -> _Made:
    return [Instance(kind, f"order {draw + 1}", shuffle=_seed(seed, draw)) for draw in range(draws)]


def _both(kind: Kind, draws: int, seed: int) -> _Made:
    return [replace(one, shuffle=_seed(seed, place)) for place, one in enumerate(_paraphrases(kind, draws, seed))]


def _asides(kind: Kind, draws: int, seed: int) -> _Made:
    return [Instance(kind, f"aside {place + 1}", Wording(aside=text)) for place, text in enumerate(ASIDES)]


def _turns(kind: Kind, draws: int, seed: int) -> _Made:
    talks = [Instance(kind, name, Wording(earlier=said)) for name, said in TALK.items()]
    return [*talks, Instance(kind, "asked before", again=True)]


def _reasoning(kind: Kind, draws: int, seed: int) -> _Made:
    return [Instance(kind, "thoughts", reasons=True)]


def _disturbing(how: Disturb, place: int) -> Callable[[Kind, int, int], _Made]:
    def _made(kind: Kind, draws: int, seed: int) -> _Made:
        drawn = (disturbed(how, np.random.default_rng([seed, 31, place, draw])) for draw in range(draws))
        return [Instance(kind, f"{kind.value} {draw + 1}", wording) for draw, wording in enumerate(drawn)]

    return _made


def _seed(seed: int, draw: int) -> int:
    return int(np.random.default_rng([seed, 32, draw]).integers(2**31))


_MAKERS: Mapping[Kind, Callable[[Kind, int, int], _Made]] = {
    Kind.SERVED: _served,
    Kind.PARAPHRASE: _paraphrases,
    Kind.PART: _parts,
    Kind.ORDER: _orders,
    Kind.BOTH: _both,
    Kind.TYPOS: _disturbing(typos, 0),
    Kind.SYNONYMS: _disturbing(synonyms, 1),
    Kind.WORDS: _disturbing(word_order, 2),
    Kind.ASIDE: _asides,
    Kind.TURNS: _turns,
    Kind.REASON: _reasoning,
}
