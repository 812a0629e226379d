"""Toy evaluations: two camps of people and items, models of the size of a popularity ranking, cells in a folder."""

from contextlib import contextmanager

import numpy as np

from pipelines.evaluate.keep import FolderKeeper
from pipelines.evaluate.methods import ALL, METHODS, Method, _fit
from pipelines.evaluate.run import Grid, Lab
from pipelines.evaluate.split import Data, with_split
from tests.recsys.toy import camps
from unlearning.data.base import Forgotten


@contextmanager
def no_bars(_label):
    """No progress bar."""
    yield lambda done, total: None


def toy_data(users=60, items=40, each=12, seed=0) -> Data:
    """A log that carries its split."""
    return with_split(camps(users, items, each, seed), "toy", {"name": "random"}, epoch=1)


def lab_of(folder, data=None, methods=METHODS, **more) -> Lab:
    """A lab that keeps its cells in a folder."""
    return Lab(data or toy_data(), FolderKeeper(folder), methods, no_bars, **more)


def grid(*methods, backbones=("ease",), protocols=("users-5",), seeds=1, oracles=3, draw=0) -> Grid:
    """A small grid."""
    return Grid(backbones, methods, protocols, seeds=seeds, oracles=oracles, draw=draw)


def pairs(log):
    """The (user, item) pairs of a log."""
    return set(zip(log.user.tolist(), log.item.tolist(), strict=True))


class Spy:
    """A method that refits and remembers what it was given."""

    name = "spy"

    def __init__(self, fit):
        self._fit, self.fitted, self.calls = fit, [], []

    def fit(self, log, *, seed, progress=None):
        self.fitted.append((log, seed))
        return self._fit(log, seed)

    def forget(self, model, before, after, *, seed, progress=None):
        self.calls.append((before, after, seed))
        return Forgotten(self._fit(after, seed), exact=True, facts={"call": len(self.calls)})


def spying():
    """The known methods and a spy, and the spies as they are made."""
    made = []

    def make(fitting):
        made.append(Spy(_fit(fitting)))
        return made[-1]

    return {**METHODS, "spy": Method("spy", ALL, make, plain_fit=False, equals_refit=("ease",))}, made


def rng(seed=0):
    return np.random.default_rng(seed)
