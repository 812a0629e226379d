"""The whole page: one HTML document that needs nothing else, and asks nobody for anything."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.report import audits, comparisons, costs, figures, requests, served, sources
from pipelines.report.comparisons import Kind
from pipelines.report.kept import Shelf
from pipelines.report.markup import Html, join, tag
from pipelines.report.state import StoreState

TITLE = "What was forgotten, and what shows it"

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, with a short name for the contents."""

    name: str
    title: str
    body: Html

    @property
    def anchor(self) -> str:
        """What links lead to."""
        return self.name.lower().replace(" ", "-")


def document(state: StoreState, shelf: Shelf, kinds: Sequence[Kind], *, now: datetime, command: str) -> str:
    """The page as text. Scripts that stand in it are the only ones that a browser runs, and none may call out."""
    found = [one for kind in kinds for one in kind.found]
    sections = [
        Section("Requests", "What was asked to be forgotten", requests.section(state)),
        Section("Served now", "What is served now", served.section(state)),
        Section("Audits", "Audits, certificates and the ledger", audits.section(state)),
        Section("Comparisons", "What was measured", comparisons.section(kinds, shelf)),
        Section("Costs", "What it cost", costs.section(state)),
        Section("Limits", "What cannot be shown", sources.limits(state)),
        Section("Numbers", "How each number was made", sources.made(state, shelf, found, command)),
    ]
    body = _body(state, kinds, sections, now)
    scripts = [_plotly(), (_HERE / "page.js").read_text(encoding="utf-8")] if figures.interactive(body) else []
    whole = join([_head(scripts), tag("body", body, *_inline(scripts))])
    return f'<!DOCTYPE html>\n<html lang="en">\n{whole}\n</html>\n'


def _inline(scripts: Sequence[str]) -> list[Html]:
    """The library as text, which the page's own script runs when there is something to draw, and that script."""
    kinds: list[dict[str, object]] = [{"type": "text/plain", "id": "plotly"}, {}]
    return [tag("script", Html(script), **kind) for script, kind in zip(scripts, kinds, strict=False)]


def _head(scripts: Sequence[str]) -> Html:
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">'),
        Html('<meta name="referrer" content="no-referrer">'),
        Html('<link rel="icon" href="data:,">'),
        tag("title", TITLE),
        tag("style", Html(style)),
    )


def _policy(scripts: Sequence[str]) -> str:
    """No request to anybody, and no script but ours: each is named by its hash."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'"


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def _body(state: StoreState, kinds: Sequence[Kind], sections: Sequence[Section], now: datetime) -> Html:
    links = (tag("li", tag("a", one.name, href=f"#{one.anchor}")) for one in sections)
    told = "For whoever answers for it, checks it or measures it. Nobody who was forgotten is named here."
    return join(
        [
            tag("a", "To the content", href="#content", class_="skip"),
            tag(
                "header",
                tag("h1", TITLE),
                tag("p", requests.in_one_line(state), class_="line"),
                tag("p", told),
                tag("p", f"Lethe, {requests.moment(now)}", class_="when"),
                _glance(state, kinds),
            ),
            tag("nav", tag("ol", *links), aria_label="Contents"),
            tag("main", *(_section(one) for one in sections), id="content"),
            tag("footer", tag("p", "Made by ", tag("code", "lethe report"), ". This file holds everything it shows.")),
        ]
    )


def _section(one: Section) -> Html:
    heading = f"{one.anchor}-heading"
    return tag("section", tag("h2", one.title, id=heading), one.body, id=one.anchor, aria_labelledby=heading)


def _glance(state: StoreState, kinds: Sequence[Kind]) -> Html:
    """The page in a few figures."""
    ended = audits.counts(state)
    serving = [a.name for a in state.artefacts if a.kind == "settings" and a.state == "live"]
    measured = [kind.command.removeprefix("lethe ") for kind in kinds if kind.found]
    pairs = {
        "Audits": ", ".join(f"{count} {name}" for name, count in ended.items() if count) or "none yet",
        "Ledger": "chain whole" if state.whole else "BROKEN",
        "Serving": ", ".join(serving) or "nothing trained",
        "Measured": ", ".join(measured) or "nothing on these rows",
    }
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", told)) for name, told in pairs.items()), class_="glance")
