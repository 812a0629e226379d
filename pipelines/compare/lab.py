"""From a store to the labs of both halves: one split, one backbone, one model, one keeper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from db.errors import LetheError
from db.store import Store
from llm.model import load
from pipelines import models
from pipelines.compare.arms import Arm
from pipelines.compare.people import method_of
from pipelines.compare.run import Lab
from pipelines.compare.world import Lists, World
from pipelines.evaluate import methods
from pipelines.evaluate.data import read as read_split
from pipelines.evaluate.guard import Guard
from pipelines.evaluate.keep import StoreKeeper
from pipelines.evaluate.methods import METHODS, Fitting
from pipelines.evaluate.protocols import protocol as protocol_of
from pipelines.evaluate.run import Grid as RowsGrid
from pipelines.evaluate.run import Lab as Rows
from pipelines.evaluate.settings import chosen
from pipelines.evaluate.shadows import Inquiry
from pipelines.evaluate.tasks import Bars
from pipelines.evaluate_concepts.data import read
from pipelines.evaluate_concepts.grid import Grid
from pipelines.evaluate_concepts.run import Lab as Concepts
from recsys.candidates import FloatArray
from retrieval.embeddings import TextEncoder
from unlearning.concept.settings import ConceptSettings

ORACLES = 3
"""Retrainings without the people who asked: the spread between them is what nobody can be nearer than."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller names beside the grid."""

    model: str
    split: str
    backbone: str
    lists: Lists
    oracles: Mapping[str, Sequence[Path]]
    settings: ConceptSettings


def prepared(store: Store, given: Given, grid: Grid, bars: Bars) -> tuple[Lab, Rows]:
    """The lab of the concepts and that of the people. Raises LetheError where store, split or model cannot serve."""
    stock, data = read(store), read_split(store, given.split)
    keeper = StoreKeeper(store, data.epoch)
    with bars(f"settings of {given.backbone}") as bar:
        frozen = chosen(data, given.backbone, Guard(data), keeper, quick=grid.quick, progress=bar)
    concepts = Concepts(
        load(given.model),
        stock.items,
        keeper,
        bars,
        oracles=given.oracles,
        popularity=stock.popularity,
        vectors=stock.vectors,
        settings=given.settings,
    )
    vectors = np.stack([stock.vectors[item.id] for item in data.items]).astype(np.float32)
    world = World(data, given.lists, Fitting(given.backbone, frozen), vectors)
    lab = Lab(concepts, grid, world, partial(models.judging, "packed"), _minilm)
    return lab, Rows(data, keeper, METHODS, bars, settings={given.backbone: frozen})


def rows_grid(
    arms: Sequence[Arm], backbone: str, protocol: str, *, seeds: int, draw: int, attack: str | None
) -> RowsGrid:
    """The grid of `lethe evaluate forgetting` that the arms come to. Raises LetheError where no whole people ask."""
    if not protocol_of(protocol, draw).whole_people:
        raise LetheError(
            f"protocol {protocol!r} forgets rows of people who stay: give users-5, sequence-10 or the like"
        )
    names = dict.fromkeys(method_of(arm, backbone) for arm in arms)
    own = tuple(name for name in names if name not in (methods.ORACLE, methods.NONE))
    inquiry = Inquiry(attack) if attack else None
    return RowsGrid((backbone,), own, (protocol,), seeds=seeds, oracles=ORACLES, draw=draw, inquiry=inquiry)


def _minilm(texts: Sequence[str]) -> FloatArray:
    return _encoder().embed(texts)


@cache
def _encoder() -> TextEncoder:
    return TextEncoder.load()
