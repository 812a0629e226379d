"""The Markdown that the pages of single measurements are made of, as markup: headings, tables, lists and pictures."""

import re
from collections.abc import Iterator, Mapping

from pipelines.evaluate.page import BEGIN
from pipelines.report.markup import Html, details, join, listed, table, tag, typed

LEGEND = "How to read it"
"""A heading whose points open on demand."""

LONG = 24
"""Rows from which on a table opens on demand."""

_SKIPPED = ("Reading",)
"""Headings of what a person writes on a page of its own."""

_DEEPEST = 6


def rendered(page: str, figures: Mapping[str, Html], *, deeper: int) -> Html:
    """A page as markup, its headings so many levels deeper, without its title. Pictures are taken by their file's stem.

    Everything but the Markdown itself is escaped.
    """
    return join(_blocks(page.split("\n\n"), figures, deeper))


def _blocks(blocks: list[str], figures: Mapping[str, Html], deeper: int) -> Iterator[Html]:
    caption, legend = "", list[Html]()
    for place, block in enumerate(blocks):
        title = block.partition(" ")[2] if block.startswith("#") else ""
        if title and legend:
            yield details(LEGEND, *legend)
            legend = []
        if title:
            caption = title
            legend = [Html("")] if title == LEGEND else legend
            yield from _heading(block, title, deeper)
        elif legend:
            legend.append(_table(block, "Their names") if block.startswith("|") else _points(block))
        elif block.startswith("|"):
            yield _table(block, caption)
        elif block.startswith("!["):
            yield from (figures[stem] for stem in re.findall(r"/([^/]+)\.svg\)", block) if stem in figures)
        elif block.startswith("**") and place + 1 < len(blocks) and blocks[place + 1].startswith("|"):
            caption = block
        elif not block.startswith(BEGIN):
            yield _points(block) if block.startswith("- ") else tag("p", _inline(block))
    if legend:
        yield details(LEGEND, *legend)


def _heading(block: str, title: str, deeper: int) -> Iterator[Html]:
    level = block.index(" ")
    if level > 1 and title != LEGEND and title not in _SKIPPED:
        yield tag(f"h{min(level + deeper, _DEEPEST)}", _inline(title))


def _points(block: str) -> Html:
    return listed(_inline(" ".join(one.split())) for one in re.split(r"^- ", block, flags=re.MULTILINE) if one.strip())


def _table(block: str, caption: str) -> Html:
    headers, _, *rows = [[_inline(cell) for cell in _cells(line)] for line in block.splitlines()]
    if not rows:
        return tag("p", _inline(caption), ": nothing is measured yet.", class_="absent")
    made = table(headers, rows, _inline(caption))
    return details(join([_inline(caption), f" ({len(rows)} rows)"], ""), made) if len(rows) > LONG else made


def _cells(line: str) -> list[str]:
    """Between unescaped bars."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _inline(line: str) -> Html:
    """Bold and code, after everything was escaped."""
    return Html(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", typed(line)))
