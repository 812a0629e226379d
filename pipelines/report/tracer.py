"""`lethe evaluate tracer`, from the cells that it kept: the tables of its own page, its trade-off, relearning."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from pipelines.cli.output import plain
from pipelines.evaluate_tracer import page
from pipelines.evaluate_tracer.cells import ROWS
from pipelines.evaluate_tracer.data import Rows, visible
from pipelines.evaluate_tracer.run import QUICK_STEPS, Grid, Lab, Outcome, slug
from pipelines.evaluate_tracer.spec import BASE, ORACLE, Spec
from pipelines.evaluate_tracer.summary import summarise
from pipelines.report import figures
from pipelines.report.comparison import (
    Comparison,
    Found,
    about,
    command,
    finished,
    grouped,
    newest,
    repeated,
    span,
)
from pipelines.report.concepts import named
from pipelines.report.kept import Cell, Shelf
from pipelines.report.markdown import rendered
from unlearning.data.base import Progress

COMMAND = "lethe evaluate tracer"

Kept = Cell[Spec]


def comparisons(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    """One for each concept and way of training, forgetting and asking, the newest first."""
    kept = shelf.cells(COMMAND, ("tracer-", ROWS), lambda d: Spec(**{**d, "items": tuple(d["items"])}))
    rows = visible(shelf.store)
    for same in grouped((one for one in kept if one.spec.concept and one.spec.rows == rows.id), _run):
        yield _comparison(shelf, rows, newest(same, lambda one: (one.spec.method, one.spec.seed)), now)


def _run(one: Kept) -> tuple[object, ...]:
    spec = one.spec
    settings = json.dumps([dict(spec.model), dict(spec.settings)], sort_keys=True)
    return spec.concept, spec.items, spec.people, settings


def _comparison(shelf: Shelf, rows: Rows, kept: Sequence[Kept], now: datetime) -> Comparison:
    specs = tuple(one.spec for one in kept)
    name, _ = named(rows.items, specs[0].concept, slug)
    quick = specs[0].settings["steps"] <= QUICK_STEPS
    outcome = Outcome({name: specs}, finished(len(specs)))
    found: Found = plain(summarise(Lab(rows, shelf.keeper, _no_bars), Grid((name,), quick=quick), outcome))
    typed = _command(specs, name, quick=quick)
    text, _ = page.made(about("Ids", typed, kept[-1].machine, now), found, folder="drawn")
    (told,) = found["concepts"]
    charts = {"0-tradeoff": page.tradeoff(told), "0-relearning": page.relearning(told)}
    drawn = {stem: figures.chart(chart) for stem, chart in charts.items() if not chart.empty}
    title = f"Ways to forget {name} in the generative recommender" + (", a quick run" if quick else "")
    body = rendered(text, drawn, deeper=3)
    seeds, data = span(spec.seed for spec in specs), f"rows {rows.id[:16]}"
    return Comparison(title, body, typed, seeds, data, "", len(specs), quick)


def _command(specs: Sequence[Spec], name: str, *, quick: bool) -> str:
    return command(
        "evaluate",
        "tracer",
        options=[
            ("concept", name),
            *repeated("method", (spec.method for spec in specs if spec.method not in (BASE, ORACLE))),
            ("seeds", 1 + max(spec.seed for spec in specs)),
            ("people", specs[0].people),
            ("epochs", specs[0].model["epochs"]),
            ("quick", quick),
        ],
    )


@contextmanager
def _no_bars(label: str) -> Iterator[Progress]:
    del label
    yield lambda done, of: None
