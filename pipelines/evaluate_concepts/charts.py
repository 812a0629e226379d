"""Two kinds of picture in the plane, as SVG text: labelled points with spreads, and curves over steps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from pipelines.evaluate.pictures import COLOURS, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 840, 420, 60, 250, 50, 50
"""In pixels: the picture and its margins; the legend stands in the right one, which grows with a long name."""

DASHES = ("", "6 3", "2 3")
"""Of lines: where there are more series than colours, the next round of colours is dashed."""

_NAMES, _LETTER = WIDTH - RIGHT + 40, 6.2
"""Where the names of the legend begin, and how wide a letter of one is at most on average."""

_LABEL, _TRIES = 11, 20
"""Height of a label, and how many heights above and below are tried for it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One place of a series, with half-widths of its spread and a label of its own."""

    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Points under one name and colour; joined in their order where they are a curve."""

    name: str
    points: Sequence[Point]
    joined: bool = False

    @property
    def known(self) -> list[Point]:
        """Points that can be drawn."""
        return [point for point in self.points if isfinite(point.x) and isfinite(point.y)]


@dataclass(frozen=True, slots=True)
class Chart:
    """Series between two named axes. Shares have the axis 0 to 1; other figures the axis of their ends."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    shares: tuple[bool, bool] = (True, True)

    @property
    def empty(self) -> bool:
        """Nothing in it can be drawn."""
        return not any(series.known for series in self.series)


def svg(chart: Chart) -> str:
    """The picture as an SVG document."""
    points = [point for series in chart.series for point in series.known]
    ends = [
        _ends([end for p in points for end in _bar(p.x, p.dx)], share=chart.shares[0]),
        _ends([end for p in points for end in _bar(p.y, p.dy)], share=chart.shares[1]),
    ]
    plane = _Plane(*ends)
    width = max([WIDTH, *(round(_NAMES + _LETTER * len(series.name)) for series in chart.series)])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(chart.title)}</text>',
        *_axes(chart, plane),
    ]
    taken: list[tuple[float, float, float]] = []
    for place, series in enumerate(chart.series):
        parts += [*_legend(series, place), *_drawn(series, place, plane, taken)]
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Plane:
    across: tuple[float, float]
    up: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels from the left and from the top; what lies beyond the axes, as a spread may, at their end."""
        right, down = (_part(x, self.across), _part(y, self.up))
        return LEFT + (WIDTH - LEFT - RIGHT) * right, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * down


def _bar(value: float, half: float) -> tuple[float, float]:
    """The ends of a spread; of an unknown one the point itself."""
    return (value - half, value + half) if isfinite(half) else (value, value)


def _part(value: float, ends: tuple[float, float]) -> float:
    return min(1.0, max(0.0, (value - ends[0]) / (ends[1] - ends[0])))


def _ends(values: Sequence[float], *, share: bool) -> tuple[float, float]:
    if share or not values:
        return -0.02, 1.02
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _axes(chart: Chart, plane: _Plane) -> Iterable[str]:
    for ends, upright in ((plane.across, False), (plane.up, True)):
        values, digits = ticks(*ends)
        for value in values:
            yield from _tick(plane, value, f"{value:.{digits}f}", upright=upright)
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    yield f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(chart.x)}</text>'
    yield f'<text x="10" y="{TOP - 12}">{escape(chart.y)}</text>'


def _tick(plane: _Plane, value: float, told: str, *, upright: bool) -> Iterable[str]:
    first, last = ((plane.across[0], value), (plane.across[1], value))
    if not upright:
        first, last = ((value, plane.up[0]), (value, plane.up[1]))
    (x1, y1), (x2, y2) = plane.at(*first), plane.at(*last)
    yield f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'
    x, y, anchor = (x1 - 6, y1 + 4, "end") if upright else (x1, y1 + 16, "middle")
    yield f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{told}</text>'


def _stroke(place: int) -> str:
    """Colour and dashes of the series at a place."""
    dash = DASHES[place // len(COLOURS) % len(DASHES)]
    return f'stroke="{COLOURS[place % len(COLOURS)]}" stroke-width="1.5"' + f' stroke-dasharray="{dash}"' * bool(dash)


def _legend(series: Series, place: int) -> Iterable[str]:
    x, y = _NAMES - 16, TOP + 18 * place
    if series.joined:
        yield f'<line x1="{x - 12}" y1="{y}" x2="{x + 12}" y2="{y}" {_stroke(place)}/>'
    yield f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS[place % len(COLOURS)]}"/>'
    yield f'<text x="{x + 16}" y="{y + 4}" font-size="11">{escape(series.name)}</text>'


def _drawn(series: Series, place: int, plane: _Plane, taken: list[tuple[float, float, float]]) -> Iterable[str]:
    colour = COLOURS[place % len(COLOURS)]
    places = [plane.at(point.x, point.y) for point in series.known]
    if series.joined:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{line}" fill="none" {_stroke(place)}/>'
    for point, (x, y) in zip(series.known, places, strict=True):
        for dx, dy in ((point.dx, 0.0), (0.0, point.dy)):
            (x1, y1), (x2, y2) = plane.at(point.x - dx, point.y - dy), plane.at(point.x + dx, point.y + dy)
            if (dx or dy) and isfinite(dx) and isfinite(dy):
                yield f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
        told = f"{point.label or series.name}: {point.x:.3f}, {point.y:.3f}"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(told)}</title></circle>'
        if point.label:
            yield _labelled(point.label, x, y, taken)


def _labelled(label: str, x: float, y: float, taken: list[tuple[float, float, float]]) -> str:
    """A label on the right of its point; on the left where it would run into the legend."""
    wide = 6.0 * len(label)
    outside = x + 6 + wide > WIDTH - RIGHT
    up = _free(x - 6 - wide if outside else x + 6, y - 5, wide, taken)
    at = f'x="{x - 6:.1f}" text-anchor="end"' if outside else f'x="{x + 6:.1f}"'
    return f'<text {at} y="{up:.1f}" font-size="10">{escape(label)}</text>'


def _free(x: float, y: float, wide: float, taken: list[tuple[float, float, float]]) -> float:
    """The height nearest to y, inside the axes, at which a label covers none of those that are `taken`; it is added.

    >>> taken = []
    >>> [_free(0, 150, 40, taken), _free(10, 152, 40, taken), _free(90, 152, 40, taken)]
    [150, 163, 152]
    """
    tries = (up for n in range(_TRIES) for up in (y + n * _LABEL, y - n * _LABEL) if TOP + 8 <= up <= HEIGHT - BOTTOM)
    clear = (
        up for up in tries if all(abs(up - own) >= _LABEL or x + wide < left or right < x for left, right, own in taken)
    )
    found = next(clear, y)
    taken.append((x, x + wide, found))
    return found
