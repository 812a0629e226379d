"""A page of what was found: Markdown with tables, and pictures in a folder beside it that bears the page's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from db import files
from pipelines.evaluate import page_tables as tables
from pipelines.evaluate.pictures import Picture, svg

BEGIN, END = "<!-- reading -->", "<!-- end of reading -->"
"""What a person writes between them stays when the page is made again."""

EMPTY = "Nothing has been written here yet."

_LEGEND = """\
- **of oracle**: NDCG@10 of the people who stay over that of models that never saw the rows, 95% interval over people.
- **lists of neighbours, of others**: 1 − RBO (p = .9) to the oracles' lists / what one more oracle would stay under;
  **bias**: the largest change in NDCG@10 beyond the oracles' in any part of the people or items / its limit.
- **ok**: within the limit with every seed. **over**: beyond it. **void**: within it, but so is the model that forgot
  nothing, or there was too little to compare.
- **none** is the model that forgot nothing; **shield** hides the rows and retrains nothing.
- **shielded**: seconds in which the rows are left out of what readers see, in memory; **erased**: with the method's
  work, for exact methods alone; **of a retraining**: that work over a retraining for each request, by the clock;
  **for one request**: the median of that work. **scoring one person**: the re-ranker's time, no part of the work.
- Tables and figures have the numbers of the CRAGRU paper."""


@dataclass(frozen=True, slots=True)
class About:
    """What a page says of itself: when, by which command and where it was measured, and what is to be known first."""

    when: datetime
    command: str
    machine: Mapping[str, Any]
    title: str = "Ways to forget, compared"
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One data set: its name, and what `summarise` found."""

    name: str
    found: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """Something of the caller's own after the data sets: Markdown in which `{name}` stands for the picture `name`."""

    title: str
    text: str
    pictures: Mapping[str, Picture] = field(default_factory=dict)


def write(path: Path, about: About, parts: Sequence[Part], sections: Sequence[Section] = ()) -> None:
    """Write the page and its pictures; the reading of an earlier page of this name is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    text, pictures = made(about, parts, sections, folder=path.stem, reading=reading(earlier))
    put(path, text, {name: svg(picture) for name, picture in pictures.items()})


def put(path: Path, text: str, pictures: Mapping[str, str]) -> None:
    """Write a page, and SVG documents by name into the folder beside it that bears its name."""
    place = path.parent / path.stem
    place.mkdir(parents=True, exist_ok=True)
    for where, document in {**{place / f"{name}.svg": one for name, one in pictures.items()}, path: text}.items():
        files.write_atomic(where, partial(_put, text=document))


def made(
    about: About, parts: Sequence[Part], sections: Sequence[Section], *, folder: str, reading: str = ""
) -> tuple[str, dict[str, Picture]]:
    """The Markdown and the pictures by name; links lead into `folder`."""
    pictures: dict[str, Picture] = {}
    blocks = [
        _head(about, parts),
        f"## Reading\n\n{BEGIN}\n{reading or EMPTY}\n{END}",
        f"## How to read it\n\n{_LEGEND}",
    ]
    for part in parts:
        blocks += [_data(part), *tables.glance(part.found)]
        for number, one in enumerate(part.found["tables"]):
            drawn = tables.pictures(one)
            names = {f"{_slug(part.name)}-{number}-{name}": picture for name, picture in drawn.items()}
            pictures |= names
            blocks += [*tables.of(one, part.found), *(_link(folder, name, p) for name, p in names.items())]
        blocks += tables.attacks(part.found)
    for section in sections:
        pictures |= section.pictures
        text = section.text
        for name, picture in section.pictures.items():
            text = text.replace(f"{{{name}}}", _link(folder, name, picture))
        blocks.append(f"## {section.title}\n\n{text}")
    return "\n\n".join(blocks) + "\n", pictures


def reading(page: str) -> str:
    """What a person wrote on an earlier page; empty where nobody did."""
    _, begins, rest = page.partition(BEGIN)
    written, ends, _ = rest.partition(END)
    text = written.strip() if begins and ends else ""
    return "" if text == EMPTY else text


def title(about: About) -> list[str]:
    """A page's first lines: its title, and how it was made."""
    machine = about.machine
    where = f"{machine['cores']} cores, {machine['processor']}, Python {machine['python']}"
    return [
        f"# {about.title}",
        f"Made on {about.when:%Y-%m-%d} by `{about.command}` on {where}; every figure comes from the cells it keeps.",
    ]


def standing(about: About, found: Mapping[str, Any], *, quick: str, unit: str = "cells") -> list[str]:
    """How far a measurement came: whether it was a quick one, what is left, what failed, and what is to be known."""
    lines = [f"**A quick run: {quick}. Its figures are no results.**"] if found["quick"] else []
    if found["cells"]["left"]:
        left = found["cells"]["left"]
        lines.append(f"**Unfinished: {left} {unit} are still to be measured; run the same command again.**")
    lines += [f"- **failed**: `{one['cell']}`: {one['error']}" for one in found["failed"]]
    return [*lines, *(f"- {note}" for note in about.notes)]


def _head(about: About, parts: Sequence[Part]) -> str:
    lines = title(about)
    left = sum(part.found["cells"]["left"] for part in parts)
    if left:
        lines.append(f"**Unfinished: {left} parts are still to be measured; run the same command again.**")
    if about.notes:
        lines.append("\n".join(f"- {note}" for note in about.notes))
    return "\n\n".join(lines)


def _data(part: Part) -> str:
    found = part.found
    split = found["split"]
    recipe = ", ".join(f"{key} {value}" for key, value in split["recipe"].items())
    lines = [
        f"## {part.name}",
        f"{found['people']:,} people, {found['items']:,} items, {found['interactions']:,} interactions. Split "
        f"`{split['name']}` (`{split['id']}`; {recipe}), {found['cells']['finished']} cells.",
    ]
    if found["not_applicable"]:
        lines.append("Not for this backbone: " + ", ".join(found["not_applicable"]) + ".")
    lines += [f"- **failed**: `{one['cell']}`: {one['error']}" for one in found["failed"]]
    return "\n\n".join(lines)


def _link(folder: str, name: str, picture: Picture) -> str:
    return f"![{picture.title}]({folder}/{name}.svg)"


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
