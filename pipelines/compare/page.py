"""The page of what was found: Markdown with tables, and pictures in a folder beside it that bears the page's name."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.compare.arms import NONE, ORACLE, TOKENS, TRAIN
from pipelines.compare.rows import MOST_LOST, NOTHING, WHOLE
from pipelines.evaluate.page import BEGIN, EMPTY, END, About, put, reading, standing, title
from pipelines.evaluate.page_tables import markdown
from pipelines.evaluate.pictures import Dot, Picture, svg
from pipelines.evaluate.words import interval, number

Found = Mapping[str, Any]

DRAWN = ("retrieval filter", "adapter", "both", "erasure at the backbone", TOKENS.name)

_LEGEND = f"""\
- An **arm** is one way to forget, a **surface** a place where the forgotten could come to light. Every arm is asked the
  same questions, with the same seeds, about the same people on the same split. The higher a figure, the more is left.
- **oracle**: for a concept, a language model of the same lineage trained without it, a backbone fitted without its
  rows, and a catalogue that never held its items; for a person, backbones trained without their rows. **gap**: value
  minus oracle, with a 95% bootstrap interval over people, items or questions. **way**: the share of the way from the
  arm that forgot nothing to the oracle.
- **gone**: at least {WHOLE:.0%} of the way; **left**: at most {NOTHING:.0%}; **partly**: between. **cannot tell**: the
  arm that forgot nothing and the oracle do not differ by an interval that excludes 0. **no oracle**: the surface reads
  the language model and no checkpoint without the concept was given; nothing stands in for it. (Exposure in lists
  needs none: what the oracle's catalogue never held is in no list, whatever model orders it.)
- **tokens** moves a concept's ids in the generative recommender (TRACER, reconstructed). Surfaces by **semantic ids**
  ask that recommender for people's last items, as `lethe evaluate tracer` does; its oracle never met the concept's
  items and holds their ids. There a filter is ids that left the trie. **not applicable**: the reason stands beside it.
- **kept**: at most {MOST_LOST:g} less than with the arm that forgot nothing; **lost**: more.
- **as**: the surface does not see in what the two arms differ, so that they share their cells.
- **seeds**: trainings that the figure is the mean of; what nothing is trained for is measured once."""


def write(path: Path, about: About, found: Found) -> None:
    """Write the page and its pictures; the reading of an earlier page of this name is kept."""
    earlier = path.read_text(encoding="utf-8") if path.exists() else ""
    text, pictures = made(about, found, folder=path.stem, written=reading(earlier))
    put(path, text, {name: svg(picture) for name, picture in pictures.items()})


def made(about: About, found: Found, *, folder: str, written: str = "") -> tuple[str, dict[str, Picture]]:
    """The Markdown and the pictures by name; links lead into `folder`."""
    blocks = [_head(about, found), f"## Reading\n\n{BEGIN}\n{written or EMPTY}\n{END}"]
    blocks.append(f"## How to read it\n\n{_LEGEND}\n\n{_arms(found['arms'])}")
    pictures: dict[str, Picture] = {}
    for place, one in enumerate(found["concepts"]):
        blocks += _concept(one)
        drawn = _picture(one)
        if drawn.lines:
            pictures[f"concept-{place}"] = drawn
            blocks.append(f"![{drawn.title}]({folder}/concept-{place}.svg)")
        blocks += _surfaces(one["surfaces"])
    for one in found["data"]:
        blocks += [*_people(one), *_surfaces(one["surfaces"])]
    return "\n\n".join(blocks) + "\n", pictures


def _head(about: About, found: Found) -> str:
    cells, how = found["cells"], found["lists"]
    lines = [
        *title(about),
        f"Model `{found['model']['name']}` (`{found['model']['fingerprint'][:12]}`), backbone {found['backbone']}, "
        f"{found['items']:,} items, split `{found['split']['name']}` (`{found['split']['id']}`), {cells['finished']} "
        f"cells. Lists: {how['candidates']} candidates, {how['quota']:.0%} of them text neighbours; "
        f"λ = {how['weight']:g}.",
    ]
    lines += [without_tokens()] if found.get("tokens") is False else []
    lines += standing(about, found, quick="few people and questions, short trainings")
    return "\n\n".join(lines)


def without_tokens() -> str:
    """Why an arm is missing, and how to get it."""
    return f"No arm `{TOKENS.name}`: this root has no generative recommender; `{TRAIN}` makes one."


def _arms(arms: Sequence[Found]) -> str:
    headers = ("arm", "search", "backbone", "language model")
    return markdown(headers, [(arm["name"], *doing(arm)) for arm in arms])


def doing(arm: Found) -> tuple[str, str, str]:
    """What an arm does to the search, the backbone and the language model, in words."""
    search = "never held the items" if arm["absent"] else "items excluded" if arm["hides"] else ""
    backbone = "fitted without the rows" if arm["erases"] else "ids moved" if arm["name"] == TOKENS.name else ""
    return search, backbone, "trained without the concept" if arm["fork"] else arm["method"]


def _concept(one: Found) -> Iterator[str]:
    shown = ", ".join(one["titles"][:8]) + (f" and {len(one['titles']) - 8} more" if len(one["titles"]) > 8 else "")
    yield f"## {one['name']}"
    yield (
        f"A {one['kind']} of {len(one['titles'])}: {shown}. {one['people']} people are asked about; where it is "
        f"forgotten for one person alone, {one['asking']} of them ask, each for themselves."
    )
    if one["oracle"] is None:
        yield "**No oracle was given**: where the language model is read, nothing says what one would do without it."
    yield "**At a glance**: value, and how it ended"
    yield glance(one["surfaces"])


def _people(one: Found) -> Iterator[str]:
    yield f"## A person, {one['backbone']}, {one['protocol']}"
    yield (
        f"{one['people']} people asked to be forgotten, in {one['requests']} request{'s'[: one['requests'] > 1]}. "
        "Nobody's row ever entered the language model: an adapter has nothing to take out, and arms on the model alone "
        "leave the backbone as it is."
    )
    yield "**At a glance**: value, and how it ended"
    yield glance(one["surfaces"])


def glance(surfaces: Sequence[Found]) -> str:
    """Surfaces by arms."""
    lines = [(named(one), *map(short, one["rows"])) for one in surfaces]
    return markdown(("surface", *arms_of(surfaces)), lines)


def arms_of(surfaces: Sequence[Found]) -> list[str]:
    """The arms of tables, in their order."""
    return list(dict.fromkeys(row["arm"] for one in surfaces for row in one["rows"]))


def short(row: Found) -> str:
    """A value, and in a word how it ended; the ends of the scale have none."""
    if row["value"] is None:
        return str(row["state"])
    return number(row["value"], 3) + ("" if row["arm"] in (NONE, ORACLE) else f" {row['state']}")


def named(one: Found) -> str:
    """A surface, and whether it is one person's."""
    return str(one["surface"]) + (" (one person)" if one["scope"] == "one person" else "")


def _surfaces(surfaces: Sequence[Found]) -> Iterator[str]:
    headers = ("arm", "value", "oracle", "gap", "way", "", "seeds", "asked", "as")
    for one in surfaces:
        stays = " What must stay." if one["kept"] else ""
        yield f"### {named(one)}\n\n{one['told'][0].upper()}{one['told'][1:]}.{stays}"
        yield markdown(headers, [_line(row) for row in one["rows"]])


def _line(row: Found) -> Sequence[str]:
    spread = f" ± {row['spread']:.3f}" if row["spread"] is not None else ""
    unusable = f", {row['unusable']} lists without a usable answer" if row.get("unusable") else ""
    return (
        row["arm"],
        number(row["value"], 3) + spread,
        number(row["oracle"], 3, "none"),
        gap(row["gap"]),
        number(row["forgotten"], 2),
        f"**{row['state']}**{unusable}" + (f": {row['why']}" if row.get("why") else ""),
        str(row["seeds"]),
        str(row["asked"]),
        row["as"] or "",
    )


def gap(found: Mapping[str, Any] | None) -> str:
    """A difference with its interval, which a single question has not."""
    if found is None or found["mean"] is None:
        return ""
    return interval(found) if found["low"] is not None else number(found["mean"], 3)


def _picture(one: Found) -> Picture:
    """The share of the way to the oracle, of the chief arms at each surface that can tell."""
    lines = []
    for table in one["surfaces"]:
        rows = [row for row in table["rows"] if row["arm"] in DRAWN and row["forgotten"] is not None]
        if rows and not table["kept"]:
            lines.append((named(table), [Dot(row["arm"], row["forgotten"]) for row in rows]))
    return Picture(f"{one['name']}: share of the way to the oracle", lines, (1.0, 1.0), DRAWN)
