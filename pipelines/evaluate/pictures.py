"""Dots with intervals, one line a label: the one kind of picture that the page needs, as SVG text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555", "#e69f00")
"""Of series in their order; told apart by the colour-blind too."""

WIDTH, LEFT, RIGHT, TOP, LINE = 780, 200, 30, 64, 30
"""In pixels: the picture, its margins (the left one at least), and the height of a label's line."""

LETTER = 6.6
"""Of a label, in pixels on average."""

TICKS = 5
"""About so many, at round figures."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One figure of a series, perhaps with an interval."""

    series: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> list[float]:
        """What must fit into the picture."""
        return [x for x in (self.value, self.low, self.high) if x is not None and isfinite(x)]


@dataclass(frozen=True, slots=True)
class Picture:
    """Dots by label, with a grey band or (where both ends are one) a line behind them."""

    title: str
    lines: Sequence[tuple[str, Sequence[Dot]]]
    band: tuple[float, float] | None = None
    order: Sequence[str] = ()
    """Series that come first, in this order."""

    @property
    def series(self) -> list[str]:
        """Names of the series that have dots: those of `order`, and the others as they come."""
        there = dict.fromkeys(dot.series for _, dots in self.lines for dot in dots)
        return [name for name in dict.fromkeys((*self.order, *there)) if name in there]


def svg(picture: Picture) -> str:
    """The picture as an SVG document; it scales to its ends and is empty where there is no finite figure."""
    known = [x for _, dots in picture.lines for dot in dots for x in dot.ends]
    known += list(picture.band or ())
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-3)
    longest = max((len(label) for label, _ in picture.lines), default=0)
    scale = _Scale(low - room, high + room, max(LEFT, 20 + LETTER * longest))
    height = TOP + LINE * len(picture.lines) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(picture.title)}</text>',
        *_legend(picture.series),
        *_axis(picture, scale, height - 30),
    ]
    for place, (label, dots) in enumerate(picture.lines):
        y = TOP + LINE * place + LINE / 2
        if place:
            parts.append(_rule(TOP + LINE * place))
        parts.append(f'<text x="{scale.left - 10:.0f}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        parts += _dots(dots, picture.series, scale, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _rule(y: int) -> str:
    """Between two labels."""
    return f'<line x1="10" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#eee"/>'


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    left: float = LEFT
    """Pixels before the lowest value."""

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return self.left + (WIDTH - self.left - RIGHT) * (value - self.low) / (self.high - self.low)


def _legend(series: Sequence[str]) -> list[str]:
    if len(series) < 2:
        return []
    parts, x = [], 10.0
    for place, name in enumerate(series):
        parts.append(f'<circle cx="{x + 5:.0f}" cy="38" r="4.5" fill="{COLOURS[place % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 14:.0f}" y="42">{escape(name)}</text>')
        x += 30 + 6.4 * len(name)
    return parts


def _axis(picture: Picture, scale: _Scale, bottom: int) -> list[str]:
    parts = []
    if picture.band is not None:
        left, right = (scale.x(end) for end in picture.band)
        wide = max(right - left, 2.0)
        parts.append(f'<rect x="{left:.1f}" y="{TOP}" width="{wide:.1f}" height="{bottom - TOP}" fill="#ccc"/>')
    places, digits = ticks(scale.low, scale.high)
    for value in places:
        x = scale.x(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:.{digits}f}</text>')
    return parts


def ticks(low: float, high: float) -> tuple[list[float], int]:
    """Round figures between the ends, and the digits behind the point that they need.

    >>> ticks(-4, 104)
    ([0, 20, 40, 60, 80, 100], 0)
    """
    rough = (high - low) / TICKS
    power = floor(log10(rough))
    step = min((1, 2, 5, 10), key=lambda factor: abs((high - low) / (factor * 10**power) - TICKS)) * 10**power
    first, last = ceil(low / step), floor(high / step)
    return [number * step for number in range(first, last + 1)], max(0, -floor(log10(step * 1.0001)))


def _dots(dots: Sequence[Dot], series: Sequence[str], scale: _Scale, y: float) -> list[str]:
    parts = []
    for dot in dots:
        if not isfinite(dot.value):
            continue
        place = series.index(dot.series)
        colour = COLOURS[place % len(COLOURS)]
        at = y + (place - (len(series) - 1) / 2) * min(4.5, 18 / max(1, len(series)))
        if dot.low is not None and dot.high is not None and isfinite(dot.low) and isfinite(dot.high):
            ends = f'x1="{scale.x(dot.low):.1f}" x2="{scale.x(dot.high):.1f}"'
            parts.append(f'<line {ends} y1="{at:.1f}" y2="{at:.1f}" stroke="{colour}" stroke-width="1.5"/>')
        told = f"<title>{escape(dot.series)}: {dot.value:.4f}</title>"
        parts.append(f'<circle cx="{scale.x(dot.value):.1f}" cy="{at:.1f}" r="4.5" fill="{colour}">{told}</circle>')
    return parts
