"""Figures of the page: a picture, drawn at once or by plotly, with its numbers in a table behind it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

from pipelines.evaluate import pictures
from pipelines.evaluate.pictures import COLOURS, Picture
from pipelines.evaluate_concepts.charts import Chart, Point, Series
from pipelines.report.markup import Html, details, table, tag

MARK = "data-plot"
"""The attribute of a place where plotly draws."""

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")
"""Series are told apart by shape as by colour."""

LEGEND, TOP = 26, 52
"""Where an SVG document is cut above, in pixels: below its title, and below an empty legend too."""

TICKS = 20
"""Whole numbers at most that bear a tick each."""

LETTER = 6.6
"""Pixels that a letter of a label is wide, about."""

LABELLED = 14
"""Points that bear their labels at most; of more the labels show under the pointer."""

PLACES = ("top center", "bottom center", "middle right", "top right", "bottom right")
"""Of labels, so that those of points at one place do not cover each other."""

DASHES = ("solid", "dash", "dot")
"""Of curves: where there are more series than colours, the next round is dashed."""

_SIZE = re.compile(r'viewBox="0 0 (\d+) (\d+)" width="\d+" height="\d+"')

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
    left = max(0, round(LETTER * max((len(label) for label, _ in one.lines), default=0)) - pictures.LEFT + 20)
    cut = (left, LEGEND if len(one.series) > 1 else TOP)
    return _figured(one.title, _still(one.title, pictures.svg(one), cut), behind)


def chart(one: Chart) -> Html:
    """Points that can be pointed at and zoomed into; joined in their order where they are curves."""
    few = sum(len(series.known) for series in one.series) <= LABELLED
    traces = [_trace(series, place, labelled=few) for place, series in enumerate(one.series)]
    ends = [[getattr(point, axis) for series in one.series for point in series.known] for axis in ("x", "y")]
    axes = [
        {"title": {"text": _label(name)}, "range": _range(values, share=share), "zeroline": False, **_steps(values)}
        for name, values, share in zip((one.x, one.y), ends, one.shares, strict=True)
    ]
    layout = {"xaxis": axes[0], "yaxis": axes[1], "height": 440}
    return _figured(one.title, _drawn(one.title, traces, layout), _points(one))


def _trace(series: Series, place: int, *, labelled: bool) -> dict[str, Any]:
    colour, symbol = COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)]
    written = labelled and not series.joined
    return {
        "type": "scatter",
        "mode": "lines+markers" if series.joined else "markers+text" if written else "markers",
        "name": _label(series.name),
        "x": [point.x for point in series.known],
        "y": [point.y for point in series.known],
        "text": [_label(point.label or series.name) for point in series.known],
        "textposition": [PLACES[(place + n) % len(PLACES)] for n in range(len(series.known))],
        "error_x": _bars([point.dx for point in series.known]),
        "error_y": _bars([point.dy for point in series.known]),
        "marker": {"size": 8 if series.joined else 11, "color": colour, "symbol": symbol, "opacity": 0.85},
        "line": {"color": colour, "dash": DASHES[place // len(COLOURS) % len(DASHES)]},
        "hovertemplate": "%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
        "cliponaxis": False,
    }


def _steps(values: Sequence[float]) -> dict[str, Any]:
    """A tick at every whole number, where values are few whole numbers."""
    whole = bool(values) and all(float(value).is_integer() for value in values)
    return {"dtick": 1} if whole and 0 < max(values) - min(values) <= TICKS else {}


def _range(values: Sequence[float], *, share: bool) -> list[float]:
    if share or not values:
        return [-0.04, 1.04]
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or max(0.05, 0.05 * abs(high))
    return [low - room, high + room]


def heat(one: Heat) -> Html:
    """A map in one colour scale that the colour-blind read too."""
    shown = [[value if isfinite(value) else None for value in row] for row in one.values]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": [_label(name) for name in one.columns],
        "y": [_label(name) for name in one.rows],
        "z": shown,
        "colorscale": "Cividis",
        "colorbar": {"title": {"text": _label(one.unit)}, "thickness": 12},
        "hovertemplate": "%{y}, %{x}: %{z:.4g}<extra></extra>",
        "hoverongaps": False,
    }
    trace |= {"zmin": one.ends[0], "zmax": one.ends[1]} if one.ends else {}
    trace |= {"texttemplate": "%{z:.2f}", "xgap": 2, "ygap": 2} if one.written else {}
    layout = {
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "xaxis": {"title": {"text": _label(one.across)}, "automargin": True, "type": "category", "nticks": 16},
        "height": 150 + (34 if one.written else 26) * len(one.rows),
    }
    rows = [(name, *(_figure(value) for value in line)) for name, line in zip(one.rows, one.values, strict=True)]
    return _figured(one.title, _drawn(one.title, [trace], layout), table(("", *one.columns), rows, one.title))


def interactive(markup: str) -> bool:
    """Whether a page needs plotly."""
    return f"{MARK}=" in markup


def _label(value: str) -> str:
    """Text for plotly, which reads markup in its labels, but knows no entity of a quotation mark."""
    return escape(value, quote=False)


def _figured(title: str, drawn: Html, behind: Html) -> Html:
    return tag("figure", tag("figcaption", title), drawn, details(_BEHIND, behind))


def _still(title: str, svg: str, cut: tuple[int, int]) -> Html:
    """An SVG document as a part of the page: with so much room more for labels, and without the title above."""
    left, above = cut

    def _cut(found: re.Match[str]) -> str:
        wide, high = int(found.group(1)) + left, int(found.group(2)) - above
        return f'viewBox="{-left} {above} {wide} {high}" width="{wide}" height="{high}"'

    shown = Html(_SIZE.sub(_cut, svg, count=1))
    return tag("div", tag("div", shown, role="img", aria_label=title), class_="plot scroll", tabindex=0)


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
