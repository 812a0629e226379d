"""`lethe evaluate concepts`, from the cells that it kept: the tables of its own page, trade-off, masks, relearning."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from db import catalogue
from db.records import Item, ItemId
from llm.tiny.concepts import matching
from pipelines.cli.output import plain
from pipelines.evaluate_concepts import cells, page
from pipelines.evaluate_concepts.cells import ROWS, Kept
from pipelines.evaluate_concepts.grid import QUICK_SETTINGS
from pipelines.evaluate_concepts.pictures import masks_compared, relearning, tradeoff
from pipelines.evaluate_concepts.spec import BASE, FORKS, ORACLE, REPLICATE, Part, Spec, drawn
from pipelines.evaluate_concepts.summary import of_cells
from pipelines.report import figures
from pipelines.report.comparison import (
    Comparison,
    Found,
    about,
    command,
    counted,
    grouped,
    model_told,
    newest,
    repeated,
    span,
)
from pipelines.report.kept import Cell, Shelf
from pipelines.report.markdown import rendered
from pipelines.report.markup import Html
from unlearning.concept.base import ProbeKind
from unlearning.concept.evaluate import TEXT, accuracy_of, preference_of
from unlearning.concept.probe_kinds import GENRES, TITLE

COMMAND = "lethe evaluate concepts"


def comparisons(shelf: Shelf, now: datetime) -> Iterator[Comparison]:
    """One for each model, concept, set of questions and settings, the newest first."""
    with shelf.store.reading() as unit:
        items = tuple(catalogue.load_items(unit))
    kept = shelf.cells(COMMAND, ("concept-", ROWS), lambda d: Spec(**{**d, "part": Part(d["part"])}))
    for same in grouped(kept, lambda one: (one.spec.model, one.spec.concept, one.spec.subject)):
        shared = [one for one in same if not one.spec.settings]
        runs = grouped([one for one in same if one.spec.settings], _variant)
        for run in runs or [[]]:
            parts = newest([*shared, *run], lambda o: (o.spec.part, o.spec.label, o.spec.seed, o.spec.beside))
            known = _forks(parts, ORACLE)
            yield _comparison(items, [one for one in parts if one.spec.beside in ("", *known)], now)


def _forks(parts: Sequence[Cell[Spec]], role: str) -> list[str]:
    """Fingerprints of the oracles, or replicates, that were asked."""
    asked = [one.spec for one in parts if one.spec.method == role and one.spec.part is Part.EXAMINED]
    return [spec.other for spec in sorted(asked, key=lambda spec: spec.seed)]


def _variant(one: Cell[Spec]) -> str:
    return json.dumps({key: value for key, value in one.spec.settings.items() if key != "neurons"}, sort_keys=True)


def _comparison(items: Sequence[Item], parts: Sequence[Cell[Spec]], now: datetime) -> Comparison:
    first, kept = parts[0].spec, [cells.load(one.folder, one.spec) for one in parts]
    told: Found = plain(_concept(items, parts, kept))
    typed = _command(parts, told["name"])
    found: Found = {
        "model": model_told(first.model),
        "items": len(items),
        "quick": _quick(parts),
        "cells": counted(parts),
        "failed": [],
        "concepts": [told],
    }
    text, _ = page.made(about("Concepts", typed, parts[-1].machine, now), found, folder="drawn")
    title = f"Ways to forget {told['name']} in the model" + (", a quick run" if found["quick"] else "")
    body = rendered(text, _figures(told), deeper=3)
    seed = span(one.spec.seed for one in parts)
    return Comparison(title, body, typed, seed, "", first.model, len(parts), found["quick"])


def _concept(items: Sequence[Item], parts: Sequence[Cell[Spec]], kept: Sequence[Kept]) -> Found:
    """As the command's own summary tells a concept; its name is found again in the catalogue."""
    name, (kind, ids) = named(items, parts[0].spec.concept)
    return {
        "name": name,
        "kind": kind if ids else "concept",
        "titles": [item.title for item in items if item.id in ids],
        "oracles": _forks(parts, ORACLE),
        "replicates": _forks(parts, REPLICATE),
        "asked": _asked(kept),
        **of_cells(kept),
    }


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.casefold()).split())


def named(
    items: Sequence[Item], slug: str, slugged: Callable[[str], str] = _slug
) -> tuple[str, tuple[str, frozenset[ItemId]]]:
    """The name that a file name was made of, by `slugged`, and what it stands for."""
    names = [*(genre for item in items for genre in item.genres), *(item.title for item in items)]
    name = next((name for name in names if slugged(name) == slug), slug.replace("-", " ").title())
    return name, matching(items, name)


def _asked(kept: Sequence[Kept]) -> dict[str, int]:
    """How many questions of each kind there are."""
    base = next((one.samples for one in kept if one.method == BASE and one.part is Part.EXAMINED), {})
    measures = {kind: [accuracy_of(kind)] for kind in ProbeKind}
    measures |= {ProbeKind.FORCED_CANDIDATE: [preference_of(GENRES), preference_of(TITLE)], ProbeKind.FLUENCY: [TEXT]}
    counts = {k.value: sum(len(base[m].values) for m in names if m in base) for k, names in measures.items()}
    return {kind: count for kind, count in counts.items() if count}


def _quick(parts: Sequence[Cell[Spec]]) -> bool:
    quick = {key: value for key, value in asdict(QUICK_SETTINGS).items() if key != "neurons"}
    return any(_variant(one) == json.dumps(quick, sort_keys=True) for one in parts)


def _command(parts: Sequence[Cell[Spec]], name: str) -> str:
    own = [one.spec for one in parts if one.spec.method not in FORKS]
    plain = [spec.seed for spec in own if not drawn(spec.method)]
    random = [spec.seed for spec in own if drawn(spec.method)]
    attacked = [s.method for s in own if s.part is Part.ATTACKED]
    return command(
        "evaluate",
        "concepts",
        options=[
            ("concept", name),
            *repeated("method", (spec.method for spec in own)),
            *repeated("neurons", (spec.settings["neurons"] for spec in own)),
            *repeated("attack", attacked or ["none"]),
            ("seeds", 1 + max(plain) if plain else None),
            ("draws", 1 + max(random) if random else None),
            *(("oracle", f"{name}=DIR") for _ in _forks(parts, ORACLE)),
            *(("replicate", "DIR") for _ in _forks(parts, REPLICATE)),
            ("quick", _quick(parts)),
        ],
    )


def _figures(told: Found) -> Mapping[str, Html]:
    """By the stem that the page's own pictures have."""
    found = {f"0-relearning-{n}": figures.chart(curve) for n, curve in enumerate(relearning(told))}
    chart, masks = tradeoff(told), masks_compared(told)
    found |= {} if chart.empty else {"0-tradeoff": figures.chart(chart)}
    return found | ({"0-masks": figures.picture(masks)} if len(masks.lines) > 1 else {})
