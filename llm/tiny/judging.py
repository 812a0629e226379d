"""How well a model judges people whose taste is known, and whether its lists have the form that was asked for."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db.records import Item
from llm import prompt
from llm.tiny.ask import Examiner
from llm.tiny.corpus import context_of
from llm.tiny.taste import Person, Tastes


def auc(scores: NDArray[np.float64], liked: NDArray[np.bool_]) -> float:
    """The chance that a liked candidate scores above another; ties count half. NaN where one kind is missing.

    >>> auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    0.875
    """
    above = scores[liked][:, None] - scores[~liked][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean()) if above.size else float("nan")


def taste_auc(
    examiner: Examiner, items: Sequence[Item], people: int, rng: np.random.Generator, *, candidates: int = 20
) -> dict[str, float]:
    """AUC on held-out synthetic people: over all pairs, within each person, and what the true taste itself reaches."""
    tastes = Tastes(items)
    drawn = [tastes.person(rng, 20, candidates, evaluation=True) for _ in range(people)]
    scores = [examiner.judgements(context_of(items, person)) for person in drawn]
    pairs = list(zip(scores, drawn, strict=True))
    return {
        "taste_auc": auc(np.concatenate(scores), np.concatenate([person.liked for person in drawn])),
        "taste_auc_within_person": float(np.nanmean([auc(found, person.liked) for found, person in pairs])),
        "taste_auc_ceiling": float(np.nanmean([auc(person.utility, person.liked) for person in drawn])),
    }


def list_answers(
    examiner: Examiner, items: Sequence[Item], people: int, rng: np.random.Generator, *, candidates: int = 8
) -> dict[str, float]:
    """How often the listwise and the JSON answer have the right form, and how good they are."""
    tastes = Tastes(items)
    drawn = [
        tastes.person(rng, 10, candidates, positives=max(1, candidates // 4), evaluation=True) for _ in range(people)
    ]
    contexts = [context_of(items, person) for person in drawn]
    letters = examiner.answers([prompt.listwise(context) for context in contexts], longest=4)
    said = examiner.answers([prompt.generate(context) for context in contexts], 12 + 4 * candidates)
    orders = [order_of(text) for text in said]
    return {
        "listwise_form": float(np.mean([letter in prompt.LABELS[:candidates] for letter in letters])),
        "listwise_liked": float(
            np.mean([_liked(person, letter) for person, letter in zip(drawn, letters, strict=True)])
        ),
        "json_form": float(np.mean([bool(order) for order in orders])),
        "json_permutation": float(np.mean([sorted(order) == list(range(1, candidates + 1)) for order in orders])),
    }


def order_of(text: str) -> list[int]:
    """The numbers of a JSON answer; empty where the text is not one.

    >>> order_of('{"ranking":[2,1]}'), order_of("2, 1")
    ([2, 1], [])
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return []
    order = found.get(prompt.RANKING) if isinstance(found, dict) else None
    return order if isinstance(order, list) and all(type(number) is int for number in order) else []


def _liked(person: Person, letter: str) -> bool:
    place = prompt.LABELS.index(letter) if letter in prompt.LABELS else len(person.liked)
    return place < len(person.liked) and bool(person.liked[place])
