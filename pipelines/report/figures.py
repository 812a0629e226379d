"""Figures of the page: a picture, drawn at once or by plotly, with its numbers in a table behind it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

from pipelines.evaluate import pictures
from pipelines.evaluate.pictures import COLOURS, Picture
from pipelines.evaluate_concepts import charts
from pipelines.evaluate_concepts.charts import Chart, Point
from pipelines.report.markup import Html, details, table, tag

MARK = "data-plot"
"""The attribute of a place where plotly draws."""

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")
"""Series are told apart by shape as by colour."""

_BEHIND = "The numbers behind it"


@dataclass(frozen=True, slots=True)
class Heat:
    """A figure for every row and column; NaN where there is none. `ends` fixes the scale."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    unit: str
    across: str = ""
    ends: tuple[float, float] | None = None
    written: bool = False
    """Whether figures stand in their places."""


def picture(one: Picture) -> Html:
    """Dots with intervals."""
    dots = [(label, dot) for label, every in one.lines for dot in every]
    rows = [(label, d.series, _figure(d.value), _figure(d.low), _figure(d.high)) for label, d in dots]
    behind = table(("", "series", "value", "from", "to"), rows, one.title)
    return _figured(one.title, _still(one.title, pictures.svg(one)), behind)


def curves(one: Chart) -> Html:
    """Lines over steps."""
    return _figured(one.title, _still(one.title, charts.svg(one)), _points(one))


def scatter(one: Chart) -> Html:
    """Labelled points that can be pointed at and zoomed into."""
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": escape(series.name),
            "x": [point.x for point in series.known],
            "y": [point.y for point in series.known],
            "text": [escape(point.label) for point in series.known],
            "error_x": _bars([point.dx for point in series.known]),
            "error_y": _bars([point.dy for point in series.known]),
            "marker": {"size": 11, "color": COLOURS[n % len(COLOURS)], "symbol": SYMBOLS[n % len(SYMBOLS)]},
            "hovertemplate": "%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
        }
        for n, series in enumerate(one.series)
    ]
    layout = {"xaxis": {"title": {"text": escape(one.x)}}, "yaxis": {"title": {"text": escape(one.y)}}, "height": 460}
    return _figured(one.title, _drawn(one.title, traces, layout), _points(one))


def heat(one: Heat) -> Html:
    """A map in one colour scale that the colour-blind read too."""
    shown = [[value if isfinite(value) else None for value in row] for row in one.values]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": [escape(name) for name in one.columns],
        "y": [escape(name) for name in one.rows],
        "z": shown,
        "colorscale": "Cividis",
        "colorbar": {"title": {"text": escape(one.unit)}, "thickness": 12},
        "hovertemplate": "%{y}, %{x}: %{z:.4g}<extra></extra>",
        "hoverongaps": False,
    }
    trace |= {"zmin": one.ends[0], "zmax": one.ends[1]} if one.ends else {}
    trace |= {"texttemplate": "%{z:.2f}", "xgap": 2, "ygap": 2} if one.written else {}
    layout = {
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "xaxis": {"title": {"text": escape(one.across)}, "automargin": True, "type": "category", "nticks": 16},
        "height": 150 + (34 if one.written else 26) * len(one.rows),
    }
    rows = [(name, *(_figure(value) for value in line)) for name, line in zip(one.rows, one.values, strict=True)]
    return _figured(one.title, _drawn(one.title, [trace], layout), table(("", *one.columns), rows, one.title))


def interactive(markup: str) -> bool:
    """Whether a page needs plotly."""
    return f"{MARK}=" in markup


def _figured(title: str, drawn: Html, behind: Html) -> Html:
    return tag("figure", tag("figcaption", title), drawn, details(_BEHIND, behind))


def _still(title: str, svg: str) -> Html:
    """An SVG document as a part of the page, without the title that the caption has."""
    return tag("div", tag("div", Html(svg), role="img", aria_label=title), class_="plot scroll", tabindex=0)


def _drawn(title: str, traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> Html:
    """A place for plotly, with what it is to draw as JSON that no markup can end."""
    spec = json.dumps({"data": traces, "layout": layout}, allow_nan=False, separators=(",", ":"))
    held = tag("script", Html(spec.replace("<", "\\u003c")), type="application/json")
    place = tag("div", role="img", aria_label=title, style=f"min-height:{layout['height']}px", data_plot="here")
    return tag("div", place, held, class_="plot")


def _bars(halves: Sequence[float]) -> dict[str, Any]:
    known = [half if isfinite(half) else 0.0 for half in halves]
    return {"type": "data", "array": known, "visible": any(known), "thickness": 1}


def _points(one: Chart) -> Html:
    rows = [
        (point.label or series.name, series.name, *_place(point)) for series in one.series for point in series.points
    ]
    return table(("", "series", one.x, one.y, "± across", "± up"), rows, one.title)


def _place(point: Point) -> tuple[str, ...]:
    return tuple(_figure(value) for value in (point.x, point.y, point.dx, point.dy))


def _figure(value: float | None) -> str:
    return "" if value is None or not isfinite(value) else f"{value:.4g}"
