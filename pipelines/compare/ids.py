"""The arm `tokens`: concepts in the generative recommender, from the cells of `lethe evaluate tracer`.

The other arms come to ways to forget there too: who hides items takes their ids out of the trie, who erases rows trains
a decoder that never met them. Each is asked for every person's last item, as that command asks, with its own oracle.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import polars as pl

from db import artifacts
from db.errors import LetheError
from db.store import Store
from pipelines import models
from pipelines.compare.arms import ORACLE as ORACLE_ARM
from pipelines.compare.arms import TOKENS, TRAIN, Arm
from pipelines.compare.cells import Kept
from pipelines.compare.rows import NOT_APPLICABLE, NOT_MEASURED, Row, absent
from pipelines.compare.summary import filled
from pipelines.compare.surfaces import SURFACES, Surface
from pipelines.evaluate.keep import StoreKeeper
from pipelines.evaluate.tasks import Bars, Done
from pipelines.evaluate_tracer import cells
from pipelines.evaluate_tracer.data import read
from pipelines.evaluate_tracer.run import Grid, Lab, quick, run, specs_of
from pipelines.evaluate_tracer.spec import BASE, ORACLE
from unlearning.concept.cells import Sample
from unlearning.tokens.methods import TRACER

REMOVAL = "trie-removal"


@dataclass(frozen=True, slots=True)
class Column:
    """A surface of the generative recommender: a column of its cells."""

    name: str
    told: str
    kept: bool = False


COLUMNS = {
    "list by semantic ids": Column("exposure", "exposure@10 in the generative recommender's lists"),
    "probability by semantic ids": Column("mass", "the probability that it gives the concept's items, by their ids"),
    "probability by the old ids": Column("old mass", "the same by the ids from before, where any code may follow any"),
    "quality of the rest by semantic ids": Column("ndcg", "NDCG@10 of last items beside the concept", kept=True),
}
"""By the name of the surface, in the order of the tables."""

Measured = Mapping[str, Sequence[cells.Kept]]
"""Cells by method, of the same seeds."""


def wanted(store: Store, names: Sequence[str]) -> bool:
    """Whether the arm is part of a comparison of these arms (none named: of all that there can be).

    Raises LetheError where it is named and no generative recommender is trained.
    """
    with store.reading() as unit:
        there = artifacts.live(unit, "backbone", models.GENERATIVE) is not None
    if TOKENS.name in names and not there:
        raise LetheError(f"--arm {TOKENS.name} needs a generative recommender: `{TRAIN}` makes one")
    return there and (not names or TOKENS.name in names)


def method_of(arm: Arm) -> str | None:
    """The way to forget ids that an arm comes to; None where it acts on the language model alone."""
    if arm.absent or arm.erases:
        return ORACLE
    if arm.hides:
        return REMOVAL
    return TRACER if arm == TOKENS else None if arm.method else BASE


@dataclass(frozen=True, slots=True)
class Outcome:
    """Cells by concept, how far the run came, and what was said of names that it could not take."""

    cells: Mapping[str, Sequence[cells.Kept]]
    done: Done = field(default_factory=lambda: Done(0, 0, 0))
    refused: Mapping[str, str] = field(default_factory=dict)


def lab_of(store: Store, bars: Bars) -> Lab:
    """The rows of a store, and what is kept about them."""
    rows = read(store, bars)
    return Lab(rows, StoreKeeper(store, rows.epoch), bars)


def grid_of(concepts: Sequence[str], seeds: int) -> Grid:
    """What the arms come to."""
    return Grid(tuple(concepts), (TRACER, REMOVAL), seeds)


def measure(lab: Lab, grid: Grid, *, minutes: float | None = None, short: bool = False) -> Outcome:
    """The cells of every concept, those that are missing measured first; a `short` run takes what is kept.

    With `minutes`, no cell is begun that would likely end later. A concept without any cell of its own takes those of a
    quick evaluation.
    """
    refused = dict(_refused(lab, grid.concepts))
    able = tuple(name for name in grid.concepts if name not in refused)
    own = replace(grid, concepts=able or grid.concepts)
    done = Done(0, 0, 0) if short or not able else run(lab, own, minutes=minutes).done
    found = {}
    for name in able:
        of_grids = (list(_kept(lab, one, name)) for one in (own, quick(replace(own, concepts=(name,)))))
        found[name] = next((kept for kept in of_grids if kept), [])
    return Outcome(found, done, refused)


def _refused(lab: Lab, concepts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in concepts:
        try:
            lab.concept(name)
        except LetheError as error:
            yield name, str(error)


def _kept(lab: Lab, grid: Grid, name: str) -> Iterator[cells.Kept]:
    for spec in specs_of(lab, grid, name):
        folder = lab.keeper.find(spec.name)
        if folder is not None:
            yield cells.load(folder, spec)


def joined(found: Row, outcome: Outcome, arms: Sequence[Arm]) -> Row:
    """What a comparison found, with the arm in every table, and the tables of the generative recommender."""

    def _with(one: Row, more: Sequence[Row] = ()) -> Row:
        return {**one, "surfaces": [*(with_tokens(own, found["backbone"]) for own in one["surfaces"]), *more]}

    done, counts = outcome.done, found["cells"]
    own = {"finished": done.measured + done.skipped, "measured_now": done.measured, "left": done.left}
    return {
        **found,
        "arms": [asdict(arm) for arm in beside(arms)],
        "cells": {name: counts[name] + own[name] for name in counts},
        "failed": [*found["failed"], *({"cell": name, "error": error} for name, error in done.failed)],
        "concepts": [_with(one, tables(outcome, one["name"], arms)) for one in found["concepts"]],
        "data": [_with(one) for one in found["data"]],
    }


def tables(outcome: Outcome, name: str, arms: Sequence[Arm]) -> list[Row]:
    """One table a surface, one row an arm, the arm `tokens` before the oracle."""
    command = shlex.join(["lethe", "evaluate", "tracer", "--concept", name])
    why = outcome.refused.get(name, f"`{command}` measures it")
    by_method = _of_same_seeds(outcome.cells.get(name, ()))
    return [_table(surface, by_method, beside(arms), why) for surface in COLUMNS]


def _of_same_seeds(kept: Sequence[cells.Kept]) -> Measured:
    """By method, the seeds that every method has that has any: means over them can be compared."""
    methods = dict.fromkeys(one.spec.method for one in kept)
    seeds = [{one.spec.seed for one in kept if one.spec.method == method} for method in methods]
    shared = set.intersection(*seeds) if seeds else set()
    return {m: [one for one in kept if one.spec.method == m and one.spec.seed in shared] for m in methods}


def beside(arms: Sequence[Arm]) -> list[Arm]:
    """The arms with `tokens`, the oracle last."""
    return [*(arm for arm in arms if arm.name != ORACLE_ARM), TOKENS, *(a for a in arms if a.name == ORACLE_ARM)]


def _table(surface: str, by_method: Measured, arms: Sequence[Arm], why: str) -> Row:
    column, first = COLUMNS[surface], dict[str, str]()
    found, missing, twins = dict[str, list[Kept]](), dict[str, tuple[str, str]](), dict[str, str]()
    for arm in arms:
        method = method_of(arm)
        found[arm.name] = [_sample(one, column) for one in by_method.get(method or "", ())]
        if method is None:
            missing[arm.name] = NOT_APPLICABLE, "it acts on the language model, which has no say in these lists"
        else:
            missing[arm.name] = NOT_MEASURED, why
            if first.setdefault(method, arm.name) != arm.name:
                twins[arm.name] = first[method]
    about = {"surface": surface, "told": column.told, "kept": column.kept, "scope": "everybody"}
    return filled(about, found, missing, twins)


def _sample(one: cells.Kept, column: Column) -> Kept:
    """A column of a cell, a value a person; of utility, of those whose last item is no item of the concept."""
    rows = one.rows.sort("person")
    if column.kept:
        rows = rows.filter(pl.col("of") != "concept")
    values = rows[column.name].to_numpy().astype(float)
    return Kept(Sample(values, tuple(map(str, rows["person"].to_list()))), {"unusable": 0})


def with_tokens(table: Row, backbone: str) -> Row:
    """Another surface's table with a row for the arm, which says why there is nothing to measure."""
    row = absent(TOKENS.name, NOT_APPLICABLE, _why(SURFACES.get(table["surface"]), backbone))
    rows = table["rows"]
    oracle = [one for one in rows if one["arm"] == ORACLE_ARM]
    return {**table, "rows": [*(one for one in rows if one["arm"] != ORACLE_ARM), row, *oracle]}


def _why(surface: Surface | None, backbone: str) -> str:
    if surface is None:
        return "moved ids take out nobody's rows: an erase trains the generative recommender anew"
    if surface.lists:
        return f"the search here is by {backbone} and by texts, which have no ids to move"
    return "no id reaches the language model: it answers as it did"
