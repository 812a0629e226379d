"""`lethe localise`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.drift import about, ended
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, plain, progress, table
from pipelines.evaluate import words

Concepts = Annotated[
    list[str] | None, typer.Option("--concept", help="Whose gradients are looked into; may be repeated.")
]


def localise(
    *,
    users: Annotated[int | None, typer.Option("--users", min=2, help="People whose requests are read (20).")] = None,
    requests: Annotated[int, typer.Option("--requests", min=1, help="Candidate lists for each.")] = 1,
    candidates: Annotated[int | None, typer.Option("--candidates", min=2, help="In each list (10).")] = None,
    concept: Concepts = None,
    neurons: Annotated[int, typer.Option("--neurons", min=1, help="The most salient ones that are compared.")] = 64,
    model: Annotated[str, typer.Option("--model", help="lethe-tiny, a folder, or a Qwen checkpoint.")] = "lethe-tiny",
    split: Annotated[str, typer.Option("--split", help="paper (70/10/20), random (80/10/10) or temporal.")] = "paper",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of who is drawn, and of all else that is.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few users and candidates; figures are no results.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Begin no part that ends later.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a page, Parquet and JSON.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Find where in the model the words of a request matter: layers, neurons, heads and directions of gradients.

    The requests of `lethe drift` are read in eleven wordings: how alike neurons are between wordings and between
    classes of preference, whether lists drift where neurons do, maps of saliency, Fisher and gradient norm, neurons
    that wordings share, and angles between forgetting a concept and keeping its controls; on the base and without each
    concept that everybody's model forgot. Parts are kept as they are finished. Exit status 75: parts are left.

    \b
    Examples:
      lethe localise --quick
      lethe localise --concept "Star Trek" --concept Film-Noir --out localised
      lethe localise --users 40 --json
    """
    from pipelines.drift.lab import prepared
    from pipelines.drift.out import check, export, put
    from pipelines.drift.requests import Asking
    from pipelines.localise.concepts import prompts
    from pipelines.localise.page import write
    from pipelines.localise.run import Wish, run
    from pipelines.localise.spec import Part
    from pipelines.localise.summary import frame, read, summarise

    if out is not None:
        check(root, out)
    usual = (4, 6) if quick else (20, 10)
    store = open_store(root)
    asking = Asking(users or usual[0], requests, candidates or usual[1], seed=seed)
    lab = prepared(store, asking, model=model, split=split, bars=progress)
    about_concepts = prompts(concept or (), lab.items, seed=seed)
    wish = Wish(seed, neurons, about_concepts, quick=quick)
    outcome = run(lab, wish, minutes=minutes)
    kept = read(lab, outcome)
    found = plain(summarise(lab, wish, outcome, kept))
    if out is not None:
        put(out, "localise", about("Where the words of a request matter"), found, write)
        for part in (Part.OVERLAP, Part.MAPS):
            export(out, f"localise-{part.value}", store, frame(kept, part), epoch=lab.epoch)
    emit(found, as_json=as_json, text=lambda: told(found))
    ended(outcome.done)


def told(found: dict[str, Any]) -> str:
    """The tables in words: one for each model, layer by layer."""
    data = found["data"]
    parts = [
        f"{found['model']['name']}: {data['people']} users, {data['requests']} requests of {data['candidates']} "
        f"candidates each in {len(found['wordings'])} wordings, split {data['split']}"
    ]
    parts += [_table(one) for one in found["models"]]
    parts += [f"failed: {one['cell']}: {one['error']}" for one in found["failed"]]
    return "\n\n".join([*parts, _LEGEND])


_LEGEND = (
    "overlap: mean-centred cosine of neurons with those as served; wording: share of their variance that the wording\n"
    "makes; follows: Spearman's of drift and overlap; saliency, sensitivity (to wording): the layer's share of all;\n"
    "agreement: Spearman's of saliency and Fisher. 95% over users. The page of --out tells the rest."
)

_HEADERS = ("layer", "overlap", "wording", "follows", "saliency", "sensitivity", "agreement")


def _table(one: dict[str, Any]) -> str:
    maps = {row["layer"]: row for row in one["maps"]}
    rows = [
        (
            row["layer"],
            words.interval(row["overlap"]),
            words.number(row["wording_share"], 3),
            words.interval(row["correlation"]),
            *(words.number(maps.get(row["layer"], {}).get(f"{name}_share"), 3) for name in ("saliency", "sensitivity")),
            words.interval(maps.get(row["layer"], {}).get("rank_agreement")),
        )
        for row in one["overlap"]
    ]
    shown = [f"{one['model']}\n" + table(_HEADERS, rows)]
    for found in one["directions"]:
        angles = ", ".join(f"{words.number(row['forget_retain'], 1)}°" for row in found["layers"])
        shown.append(f"{found['concept']}: angle between forgetting it and keeping its controls, by layer: {angles}")
    return "\n".join(shown)
