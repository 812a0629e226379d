"""What an audit asks of a backbone: would this person, from the rest of the history, be offered this item?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from recsys.candidates import Backbone, IntArray
from recsys.topk import CHUNK

Floats = NDArray[np.float64]

FLAT = 1e-6
"""Scores whose spread is less than this share of the largest of all are equal but for rounding, such as those of a
person whose items nobody else met, after an exact update."""


@dataclass(frozen=True, slots=True)
class Questions:
    """One question for each pair of person and item: `owner` [pairs] is the place of the person, `item` [pairs].

    `histories` holds, for each pair, the person's other items: whether the pair is known cannot be read off the query.
    """

    owner: IntArray
    item: IntArray
    histories: list[IntArray]

    def __len__(self) -> int:
        return len(self.item)


def questions(histories: Sequence[IntArray], *, seed: int, most: int = 50) -> Questions:
    """Each person's items, at most `most` of them by lot, as questions.

    Raises LetheError for a person with fewer than 2 items, of whom nothing would be left to ask with.
    """
    rng = np.random.default_rng(seed)
    owner, item, rest = [], [], []
    for place, history in enumerate(map(np.unique, histories)):
        if len(history) < 2:
            raise LetheError(f"person {place} has {len(history)} items: take people with at least 2 into this audit")
        for chosen in np.sort(rng.permutation(history)[:most]).tolist():
            owner.append(place)
            item.append(chosen)
            rest.append(history[history != chosen])
    return Questions(np.array(owner, dtype=np.int64), np.array(item, dtype=np.int64), rest)


def logits(backbone: Backbone, asked: Questions) -> Floats:
    """For each question log(p / (1 - p)), float64 [pairs], with p the item's share among the items not in the history.

    p is the softmax of the scores, put to mean 0 and spread 1 over the competing items, so that backbones whose scores
    have other units are comparable.
    """
    out = np.empty(len(asked))
    for start in range(0, len(asked), CHUNK):
        part = slice(start, start + CHUNK)
        histories = asked.histories[part]
        scores = backbone.scores(histories).astype(np.float64)
        out[part] = _logits(scores, asked.item[part], histories)
    return out


def _logits(scores: Floats, item: IntArray, histories: Sequence[IntArray]) -> Floats:
    rows = np.arange(len(scores))
    rivals = np.ones(scores.shape, dtype=np.bool_)
    rivals[np.repeat(rows, [len(h) for h in histories]), np.concatenate(histories)] = False
    rivals[rows, item] = False
    left = rivals.sum(axis=1)
    if left.min() == 0:
        raise LetheError("a person has met every item: nothing is left to compare with")
    mean = np.where(rivals, scores, 0.0).sum(axis=1) / left
    centred = scores - mean[:, None]
    spread = np.sqrt(np.where(rivals, centred**2, 0.0).sum(axis=1) / left)
    unit = np.where(spread > FLAT * np.abs(scores).max(initial=0.0), spread, 1.0)
    z = centred / unit[:, None]
    rival = np.where(rivals, z, -np.inf)
    top = rival.max(axis=1)
    return np.asarray(z[rows, item] - top - np.log(np.exp(rival - top[:, None]).sum(axis=1)), dtype=np.float64)
