"""Toy comparisons: people with a split over the toy catalogue, scorers whose taste is known, cells in a folder."""

from dataclasses import replace

import numpy as np

from llm.score.base import Scores
from pipelines.compare.arms import arms
from pipelines.compare.run import Lab, Wish
from pipelines.compare.world import Lists, World
from pipelines.evaluate.methods import Fitting
from pipelines.evaluate.split import with_split
from recsys.ease import EaseSettings
from retrieval.text import centred
from tests.pipelines import concept_evaluations as concepts
from tests.pipelines.concept_evaluations import TITLE, fork, grid, toy_subject
from tests.pipelines.drifting import letters
from tests.recsys.toy import camps
from tests.unlearning.concept.knowing import knowing
from tests.unlearning.concept.world import catalogue
from unlearning.concept.base import ProbeKind
from unlearning.concept.refusing import Instructed

HOW = Lists(people=6, candidates=30, length=6, quota=0.25)
FORK = "fork"


def data():
    """Two camps of people over the catalogue's items."""
    log = replace(camps(40, 60, 15, 0), items=tuple(item.id for item in catalogue()))
    return with_split(log, "toy", {"name": "random"}, epoch=1, items=catalogue())


def world(how=HOW) -> World:
    """EASE, and texts as letters."""
    vectors = centred(letters([item.title for item in catalogue()]))
    return World(data(), how, Fitting("ease", {"regularisation": EaseSettings().regularisation}), vectors)


def base():
    """Knows the title's held-out facts, also in other words, and those of other items."""
    asked = toy_subject().asked
    kinds = (ProbeKind.DIRECT, ProbeKind.PARAPHRASE, ProbeKind.RETAIN)
    return knowing([probe for kind in kinds for probe in asked.of(kind)], steps=30)


class Fan:
    """Loves the title wherever it stands, unless it is asked by the fork or was told not to know it."""

    name = "fan"

    def __init__(self, model):
        self.knows = model.name != FORK and not isinstance(model, Instructed)

    def one(self, asked):
        return [float(self.knows and TITLE in item.title) for item in asked.candidates]

    def score(self, contexts):
        return [Scores(np.array(self.one(asked), np.float32)) for asked in contexts]


class Follower(Fan):
    """Loves what the history holds already, if it knows it by its title."""

    def one(self, asked):
        met = {item.title for item in asked.history}
        return [float(self.knows and item.title in met and item.title == TITLE) for item in asked.candidates]


def lab_of(folder, *, oracle=True, make=Fan, **more) -> Lab:
    """A lab over one title, with or without the fork."""
    own = concepts.lab_of(folder, base(), oracles={TITLE: [folder]} if oracle else {})
    if oracle:
        own.forks[TITLE] = (replace(fork(), name=FORK, fingerprint="another"),)
    return Lab(own, grid("prompt"), world(**more), make, letters)


def wish(*names, surfaces=(), seeds=1) -> Wish:
    """Some arms at some surfaces: all of those without a fit, and all surfaces, unless others are named."""
    chosen = arms(names or ("retrieval filter", "erasure at the backbone", "prompt only"))
    return Wish(chosen, tuple(surfaces), seeds) if surfaces else Wish(chosen, seeds=seeds)
