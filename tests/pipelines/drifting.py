"""Scorers whose drift is known, and labs that put made-up requests to them."""

from contextlib import contextmanager

import numpy as np

from db.records import Item, ItemId
from llm.score.base import Scores
from pipelines.drift.paraphrases import PARAPHRASES
from pipelines.drift.requests import Asking, Request
from pipelines.drift.run import Lab
from pipelines.evaluate.keep import FolderKeeper
from pipelines.evaluate.split import with_split
from tests.llm.toys import context, toy_model
from tests.pipelines.evaluations import no_bars
from tests.recsys.toy import camps


class Ignoring:
    """Scores a candidate by its id alone."""

    name = "ignoring"

    def __init__(self, model, wording):
        self.wording = wording

    def _one(self, asked):
        return Scores(np.array([int(item.id) for item in asked.candidates], np.float32))

    def score(self, contexts):
        return [self._one(one) for one in contexts]


class Planted(Ignoring):
    """Turns the order round in one paraphrase, and in no other words."""

    def _one(self, asked):
        values = super()._one(asked).values
        return Scores(-values if self.wording == PARAPHRASES["terse"] else values)


class Positional(Ignoring):
    """Prefers whatever is shown first."""

    def _one(self, asked):
        return Scores(-np.arange(len(asked.candidates), dtype=np.float32))


class Mute(Ignoring):
    """Has nothing to say to paraphrases, and says the same of all candidates after earlier turns."""

    def _one(self, asked):
        if self.wording in PARAPHRASES.values():
            return Scores.unusable(len(asked.candidates), "nothing was said")
        return Scores(np.ones(len(asked.candidates), np.float32)) if self.wording.earlier else super()._one(asked)


class Counting(Ignoring):
    """Knows how many lists were scored."""

    lists = 0

    def score(self, contexts):
        Counting.lists += len(contexts)
        return super().score(contexts)


def letters(texts):
    """Unit vectors of how often each letter is in a text."""
    counts = np.array([[text.lower().count(chr(97 + n)) + 1e-6 for n in range(26)] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


ASKING = Asking(people=5, requests=2, candidates=6)


def requests(asking=ASKING):
    """Made-up requests, no two alike."""
    pairs = [(person, number) for person in range(asking.people) for number in range(asking.requests)]
    backbone = tuple(float(asking.candidates - place) for place in range(asking.candidates))
    return tuple(Request(p, n, context(10 * p + n, candidates=asking.candidates), backbone) for p, n in pairs)


def lab_of(folder, asking=ASKING, model=None, **make) -> Lab:
    """A lab that keeps its cells in a folder; scorers by name."""
    there = {"embed": letters, **{key: make.pop(key) for key in ("forgotten", "adapters") if key in make}}
    model = model or toy_model()
    return Lab(model, "split", asking, requests(asking), FolderKeeper(folder), no_bars, make, **there)


class Acting:
    """Stands at the place of attached adapters: says which concept's adapter acts."""

    now: tuple[str, ...] = ()

    @contextmanager
    def serving(self, concepts):
        Acting.now = tuple(concepts)
        yield
        Acting.now = ()


class Forgetful(Ignoring):
    """Without Horror it turns the order round, and in the paraphrase "terse" it does not: it drifts there alone."""

    def _one(self, asked):
        values = super()._one(asked).values
        turned = Acting.now == ("Horror",) and self.wording != PARAPHRASES["terse"]
        return Scores(-values if turned else values)


def data():
    """Two camps of people with a split, and items with facts."""
    log = camps(40, 48, 12, 0)
    items = tuple(Item(ItemId(str(name)), f"Film {row}", 1950 + row, ("Drama",)) for row, name in enumerate(log.items))
    return with_split(log, "toy", {"name": "random"}, epoch=1, items=items)
