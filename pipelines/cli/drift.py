"""`lethe drift`."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, plain, progress, say, table
from pipelines.drift.words import RESIDUAL
from pipelines.evaluate import words

if TYPE_CHECKING:
    from db.store import Store
    from pipelines.drift.run import Lab
    from pipelines.evaluate.page import About
    from pipelines.evaluate.tasks import Done

Scorers = Annotated[
    list[str] | None, typer.Option("--scorer", help="packed, listwise, generate or free (words); may be repeated.")
]


def drift(
    *,
    users: Annotated[int | None, typer.Option("--users", min=1, help="People who are asked about (20).")] = None,
    requests: Annotated[int | None, typer.Option("--requests", min=1, help="Candidate lists for each (3).")] = None,
    candidates: Annotated[int | None, typer.Option("--candidates", min=2, help="In each list (20).")] = None,
    scorer: Scorers = None,
    model: Annotated[str, typer.Option("--model", help="lethe-tiny, a folder, or a Qwen checkpoint.")] = "lethe-tiny",
    split: Annotated[str, typer.Option("--split", help="paper (70/10/20), random (80/10/10) or temporal.")] = "paper",
    unseen: Annotated[bool, typer.Option("--unseen", help="Invented titles: a catalogue never met.")] = False,
    draws: Annotated[int | None, typer.Option("--draws", min=1, help="Of orders, typos and the like (3).")] = None,
    p: Annotated[float, typer.Option("--p", help="Of rank-biased overlap, between 0 and 1.")] = 0.9,
    weight: Annotated[
        float,
        typer.Option("--weight", min=0, max=1, help="The model's share of each list; below 1 the backbone's too."),
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of who is drawn, and of all else that is.")] = 0,
    taste: Annotated[
        bool, typer.Option("--taste", help="Teach the model people's taste too, with and without those asked about.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Few users and candidates; figures are no results.")] = False,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0, help="Begin no cell that ends later.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for a page, Parquet and JSON.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Measure how far recommendations follow the words they are asked for in, before and after unlearning.

    The same requests in ten paraphrases, with typos, synonyms, words out of place, distractors, earlier turns, and with
    the candidates in another order; every list beside the one as served, for each scorer, on the base and without each
    concept that everybody's model forgot. Every cell is kept when it is finished; the same command run again goes on
    where it ended and works all figures out anew from what is kept, at whatever --weight. Exit status 75: cells are
    left. With --taste, what of the same people's preferences a fine-tuned model keeps after it was trained anew without
    them.

    \b
    Examples:
      lethe drift --quick
      lethe drift --scorer packed --users 50 --out drift
      lethe drift --scorer packed --weight 0.3
      lethe drift --scorer packed --scorer free --split temporal --json
      lethe drift --scorer generate --users 20 --minutes 30
    """
    from db.errors import LetheError
    from pipelines.drift.lab import prepared
    from pipelines.drift.out import check, export, put
    from pipelines.drift.page import write
    from pipelines.drift.requests import Asking
    from pipelines.drift.run import Wish, run
    from pipelines.drift.spec import SCORERS
    from pipelines.drift.summary import frame, read, summarise

    if not 0 < p < 1:
        raise LetheError(f"--p {p:g} is no weight of rank-biased overlap: give a number between 0 and 1")
    if out is not None:
        check(root, out)
    usual = (4, 1, 8, 1) if quick else (20, 3, 20, 3)
    given = (users, requests, candidates, draws)
    people, lists, each, drawn = (usual[n] if one is None else one for n, one in enumerate(given))
    wish = Wish(tuple(scorer or (SCORERS[:2] if quick else SCORERS)), draws=drawn, seed=seed, quick=quick)
    asking = Asking(people, lists, each, seed=seed, unseen=unseen)
    store = open_store(root)
    lab = prepared(store, asking, model=model, split=split, bars=progress)
    outcome = run(lab, wish, minutes=minutes)
    rows = read(lab, wish, outcome, p=p, weight=weight)
    found = plain(summarise(lab, wish, outcome, rows, p=p, weight=weight))
    if taste:
        found["residual"] = plain(_residual(store, lab, split, seed=seed, quick=quick, out=out))
    if out is not None:
        put(out, "drift", about("Drift under other words"), found, write)
        export(out, "drift", store, frame(rows), epoch=lab.epoch)
    emit(found, as_json=as_json, text=lambda: told(found))
    ended(outcome.done)


def _residual(
    store: "Store", lab: "Lab", split: str, *, seed: int, quick: bool, out: Path | None
) -> list[dict[str, Any]]:
    from pipelines.drift.out import export
    from pipelines.drift.residual import residual
    from pipelines.drift.residual import told as residual_told
    from pipelines.evaluate.data import read
    from unlearning.data.taste import TasteSettings

    settings = TasteSettings(steps=10) if quick else TasteSettings()
    rows = residual(lab, read(store, split), settings, seed=seed)
    if out is not None:
        export(out, "taste", store, rows, epoch=lab.epoch)
    return residual_told(rows, seed=seed)


def about(title: str) -> "About":
    """This command, here and now."""
    from pipelines.evaluate.page import About
    from pipelines.evaluate.run import machine

    return About(datetime.now(UTC), shlex.join(["lethe", *sys.argv[1:]]), machine(), title)


def ended(done: "Done") -> None:
    """Exit status 75 where something is left, 1 where something failed."""
    if done.left or done.failed:
        say(f"{done.left} cells left, {len(done.failed)} failed; run the same command again")
        raise typer.Exit(75 if done.left else 1)


def told(found: dict[str, Any]) -> str:
    """The tables in words: one for each scorer and model."""
    data = found["data"]
    parts = [
        f"{found['model']['name']}: {data['people']} users, {data['requests']} requests of {data['candidates']} "
        f"candidates each, split {data['split']}, weight of the model {found['weight']:g}"
    ]
    parts += [_table(one["scorer"], one["measures"], made) for one in found["tables"] for made in one["models"]]
    parts += [_residual_table(one) for one in found.get("residual", [])]
    parts += [f"failed: {one['cell']}: {one['error']}" for one in found["failed"]]
    return "\n\n".join([*parts, _LEGEND])


_LEGEND = (
    "beside the same request as served, 95% over users: tau (Kendall's tau-b), rbo (rank-biased overlap), first (same\n"
    "first item), similarity (cosine of answers in words). unusable answers are left out of the means, and counted."
)


def _residual_table(one: dict[str, Any]) -> str:
    rows = [(name, words.interval(gap)) for name, gap in one["models"].items()]
    rows += [(RESIDUAL[name], words.interval(one[name])) for name in RESIDUAL]
    shown = f"taste of {one['people']} users, asked with {one['asked']}\n" + table(("model", "gap, nats"), rows)
    return shown if one["tells"] else f"{shown}\nthe control was not found: the measure cannot tell memory here"


def _table(scorer: str, measures: Sequence[str], one: dict[str, Any]) -> str:
    rows = [
        (row["kind"], row["instances"], *(words.interval(row[name]) for name in measures), row["unusable"])
        for row in one["rows"]
    ]
    shown = f"{scorer}, {one['model']}\n" + table(("perturbation", "instances", *measures, "unusable"), rows)
    if one["order_share"] is not None:
        shown += f"\nshare of the drift that candidate order alone causes: {words.interval(one['order_share'])}"
    if one["moved"] is not None:
        shown += f"\nagainst the base as served: tau {words.interval(one['moved']['tau'])}"
    return shown
