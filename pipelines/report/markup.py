"""HTML from values: whatever comes from data is escaped here, and nowhere else is markup made of strings."""

import re
from collections.abc import Iterable, Sequence
from html import escape

Row = Sequence[object]

SHORT = 40
"""Letters that a cell of a table never breaks."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Any value as markup: escaped, unless it is markup already; nothing for None."""
    if isinstance(value, Html):
        return value
    return Html("" if value is None else escape(str(value)))


def join(parts: Iterable[object], between: str = "\n") -> Html:
    """Parts after each other."""
    return Html(between.join(text(part) for part in parts))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. A trailing underscore of an attribute falls off, others become hyphens; False and None leave it out.

    >>> tag("p", "a < b", class_="note", aria_hidden="true")
    '<p class="note" aria-hidden="true">a &lt; b</p>'
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{told}>{join(children, '')}</{name}>")


def code(value: object) -> Html:
    """Something to be typed or compared, letter by letter."""
    return tag("code", value)


def typed(line: str) -> Html:
    """A line in which something to be typed stands between backticks.

    >>> typed("see `a < b`")
    'see <code>a &lt; b</code>'
    """
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", text(line)))


def short(digest: str | None, digits: int = 12) -> Html:
    """The beginning of a hash; the whole of it under the pointer."""
    return tag("code", digest[:digits], title=digest) if digest else Html("")


def table(headers: Sequence[object], rows: Iterable[Row], caption: object) -> Html:
    """A table in a box of its own, which scrolls where the page is narrow. The first column heads its row."""
    head = tag("tr", *(tag("th", one, scope="col") for one in headers))
    body = [tag("tr", _cell("th", row[0], scope="row"), *(_cell("td", one) for one in row[1:])) for row in rows]
    whole = tag("table", tag("caption", tag("span", caption)), tag("thead", head), tag("tbody", join(body)))
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=_plain(caption))


def _cell(name: str, value: object, **attributes: object) -> Html:
    """Something short stays on one line."""
    return tag(name, value, class_="short" if len(_plain(value)) <= SHORT else None, **attributes)


def listed(values: Iterable[object]) -> Html:
    """Points in a list."""
    return tag("ul", *(tag("li", one) for one in values))


def details(summary: object, *children: object) -> Html:
    """Something that opens."""
    return tag("details", tag("summary", summary), *children)


def absent(what: str, command: str) -> Html:
    """What was not measured, and the command that would."""
    return tag("p", f"{what} ", code(command), class_="absent")


def _plain(caption: object) -> str:
    """A caption as an attribute: its own markup falls off."""
    told, inside = "", False
    for letter in text(caption):
        inside = letter == "<" or (inside and letter != ">")
        told += "" if inside or letter == ">" else letter
    return Html(told)
