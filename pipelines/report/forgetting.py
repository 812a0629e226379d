"""`lethe evaluate forgetting`, from the cells that it kept: the tables of its own page, and the trade-off."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import zip_longest
from math import isfinite
from typing import Any

from pipelines.evaluate import page, versions
from pipelines.evaluate.cells import PEOPLE
from pipelines.evaluate.data import read
from pipelines.evaluate.methods import METHODS, ORACLE, Fitting, applicable
from pipelines.evaluate.page import Part
from pipelines.evaluate.protocols import ForgetProtocol
from pipelines.evaluate.run import Lab, Outcome
from pipelines.evaluate.settings import FILE, read_document
from pipelines.evaluate.shadows import KINDS, Inquiry, Shadow
from pipelines.evaluate.spec import Spec
from pipelines.evaluate.split import Data
from pipelines.evaluate.summary import summarise
from pipelines.evaluate_concepts.charts import Chart, Point, Series
from pipelines.report import figures
from pipelines.report.comparison import Comparison, Found, about, command, finished, grouped, newest, repeated, span
from pipelines.report.kept import Cell, Shelf
from pipelines.report.markdown import rendered
from pipelines.report.markup import Html, join
from unlearning.data.base import Progress

COMMAND = "lethe evaluate forgetting"

DISTANCE = "oracle-rbo neighbours"
"""The audit whose value is how far lists are from the oracle's."""


Kept = Cell[Spec]


def comparisons(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    """One for each split and set of settings, the newest first."""
    for same in grouped(_kept(shelf), lambda one: one.spec.split):
        name = shelf.split_name(same[0].spec.split)
        if name is not None:
            data = read(shelf.store, name)
            yield from (_comparison(shelf, data, run, now) for run in _runs(same))


def _kept(shelf: Shelf) -> Iterator[Kept]:
    return shelf.cells(COMMAND, ("", PEOPLE), lambda d: Spec(**{**d, "protocol": ForgetProtocol(**d["protocol"])}))


def _runs(kept: Sequence[Kept]) -> Iterator[list[Kept]]:
    """Cells that can stand in one table: of every backbone and protocol the newest settings first, older ones after."""
    tables = grouped(kept, lambda one: (one.spec.backbone, one.spec.protocol.name))
    for parts in zip_longest(*(grouped(own, _variant) for own in tables), fillvalue=()):
        yield [one for part in reversed(parts) for one in _of_one_weight(part)]


def _variant(one: Kept) -> tuple[object, ...]:
    return one.spec.protocol.draw, _plain(one.spec.settings)


def _of_one_weight(kept: Sequence[Kept]) -> list[Kept]:
    """One cell a method and seed; where lists were re-ranked, by the newest model and weight alone."""
    ranked = [_plain(one.spec.rerank) for one in kept if one.spec.rerank is not None]
    able = [one for one in kept if one.spec.rerank is None or _plain(one.spec.rerank) == ranked[-1]]
    able.sort(key=lambda one: one.spec.rerank is not None)
    return newest(able, lambda one: (one.spec.method, one.spec.seed))


def _plain(value: Mapping[str, Any] | None) -> str:
    return json.dumps(value, sort_keys=True)


def _comparison(shelf: Shelf, data: Data, run: Sequence[Kept], now: datetime) -> Comparison:
    specs = tuple(one.spec for one in run)
    compared = tuple(spec for spec in specs if versions.name(spec) in shelf.folders)
    outcome = Outcome(specs, tuple(_shadows(shelf, data, specs)), compared, finished(len(specs)), ())
    found = summarise(Lab(data, shelf.keeper, METHODS, _no_bars), outcome)
    quick = _quick(shelf, specs)
    typed = _command(data, specs, quick=quick)
    title = f"Ways to forget at the backbone, split {data.split.name}" + (", a quick run" if quick else "")
    told, drawn = page.made(about(title, typed, run[-1].machine, now), [Part("Tables", found)], [], folder="drawn")
    pictures = {name: figures.picture(one) for name, one in drawn.items()}
    body = join([*tradeoffs(found), rendered(told, pictures, deeper=3)])
    seeds = f"draw {specs[0].protocol.draw}, {span(spec.seed for spec in specs)}"
    return Comparison(title, body, typed, seeds, f"split {data.split.id}", "", len(specs), quick)


def _shadows(shelf: Shelf, data: Data, specs: Sequence[Spec]) -> Iterator[Shadow]:
    """The shadow trainings of every inquiry that was begun."""
    backbones = {spec.backbone: Fitting(spec.backbone, spec.settings) for spec in specs}
    for backbone, fitting in backbones.items():
        for inquiry in map(Inquiry, KINDS):
            for name, method in METHODS.items():
                if applicable(METHODS, name, backbone):
                    own = [Shadow(data, inquiry, fitting, method, number) for number in range(inquiry.shadows)]
                    yield from own if own[0].name in shelf.folders else ()


def _quick(shelf: Shelf, specs: Sequence[Spec]) -> bool:
    """Whether the settings are known from quick runs alone, which choose none for a trained backbone."""
    for spec in specs:
        name = f"settings-{spec.backbone}-{spec.split}"
        whole, quick = (_holds(shelf, which, spec) for which in (name, f"{name}-quick"))
        if quick and not whole:
            return True
    return False


def _holds(shelf: Shelf, name: str, spec: Spec) -> bool:
    """Whether kept settings are those of a cell."""
    folder = shelf.folders.get(name)
    known = {} if folder is None else read_document(folder / FILE)
    return folder is not None and all(key in known and known[key] == spec.settings[key] for key in spec.settings)


def _command(data: Data, specs: Sequence[Spec], *, quick: bool) -> str:
    drawn = [spec for spec in specs if spec.method != ORACLE]
    ranked = next((spec.rerank for spec in specs if spec.rerank is not None), None)
    return command(
        "evaluate",
        "forgetting",
        options=[
            *repeated("backbone", (spec.backbone for spec in specs)),
            *repeated("protocol", (spec.protocol.name for spec in specs)),
            *repeated("method", (spec.method for spec in drawn)),
            ("split", data.split.name),
            ("seeds", 1 + max((spec.seed for spec in drawn), default=0)),
            ("oracles", max(3, 1 + max((spec.seed for spec in specs if spec.method == ORACLE), default=2))),
            ("draw", specs[0].protocol.draw),
            ("scorer", ranked and ranked.get("scorer")),
            ("model", ranked and ranked.get("model")),
            ("people", ranked and ranked.get("people")),
            ("quick", quick),
        ],
    )


def tradeoffs(found: Found) -> Iterator[Html]:
    """For each backbone and protocol: how far lists are from the oracle's, and the quality that is kept."""
    for one in found["tables"]:
        places = [(row, place) for row in one["rows"] if (place := _place(row)) is not None]
        series = [
            Series(_SERIES.get(name, name), [Point(*at, label=r["method"]) for r, at in places if r["grade"] == name])
            for name in dict.fromkeys(row["grade"] for row, _ in places)
        ]
        title = f"{one['backbone']}, {one['protocol']}: how far from the oracle, and how good for those who stay"
        if series:
            yield figures.chart(Chart(title, _ACROSS, _UP, series, (True, False)))


_ACROSS = "1 − RBO of neighbours' lists to the oracle's"
_UP = "NDCG@10 over the oracle's"
_SERIES = {"none": "nothing forgotten"}


def _place(row: Found) -> tuple[float, float] | None:
    lists, ratio = row["completeness"].get(DISTANCE), row["utility"].get("ratio")
    if lists is None or ratio is None or not isfinite(ratio["mean"]):
        return None
    return float(lists["value"]), float(ratio["mean"])


@contextmanager
def _no_bars(label: str) -> Iterator[Progress]:
    del label
    yield lambda done, of: None
