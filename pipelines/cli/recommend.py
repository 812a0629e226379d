"""`lethe recommend`: for one person, some, or everybody."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.errors import LetheError
from db.records import Item, UserId
from pipelines.cli.forget import read_ids
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, progress, say, table
from pipelines.cli.train import Backbone, Candidates, Filter, Length, Model, Retrieve, Scorer

if TYPE_CHECKING:
    from db.store import Store
    from pipelines.engine import BatchSummary
    from pipelines.recommend import Recommendation

BATCH = "recommendations.parquet"


def recommend(
    users: Annotated[list[str] | None, typer.Argument(help="Ids of people.", metavar="[USER]...")] = None,
    *,
    users_file: Annotated[Path | None, typer.Option(help="File with one id a line.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="A batch over all visible people.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="JOB", help="Finish a batch that was killed.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help=f"Parquet of a batch; ROOT/{BATCH} by default.")] = None,
    top: Annotated[int | None, typer.Option("--top", help="Length of a list (10).")] = None,
    candidates: Candidates = None,
    retrieve: Retrieve = None,
    filter_name: Filter = None,
    length: Length = None,
    scorer: Scorer = None,
    model: Model = None,
    weight: Annotated[float | None, typer.Option(min=0, max=1, help="The model's share of the order, 0 to 1.")] = None,
    backbone: Backbone = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show which part of the history was used.")] = False,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Recommend items from the visible history, with the set that was trained last.

    A batch is written in chunks and survives a kill; a file inside the root is rewritten by every later erase, one
    outside is an export that no erase can reach: an erase then takes its lists out of the database.

    \b
    Examples:
      lethe recommend 42 --explain
      lethe recommend --all --out recs.parquet
      lethe recommend --resume j0123456789ab
    """
    chosen = [bool(users), users_file is not None, everybody, resume is not None]
    if sum(chosen) != 1:
        raise typer.BadParameter("give USER ids, --users-file FILE, --all or --resume JOB: one of them")
    if out is not None and not everybody:
        raise typer.BadParameter("--out goes with --all")
    store = open_store(root)
    if resume is not None:
        _resume(store, resume, as_json=as_json)
        return
    from pipelines.serving import plan_for

    given = {"top": top, "candidates": candidates, "retrieve": retrieve, "filter": filter_name, "length": length}
    plan = plan_for(store, **given, scorer=scorer, model=model, backbone=backbone)
    if everybody:
        _batch(store, plan, out or root / BATCH, weight, as_json=as_json)
        return
    people = read_ids(users_file) if users_file else [UserId(user) for user in users or ()]
    _some(store, plan, people, weight, explain=explain, as_json=as_json)


def _batch(store: "Store", plan: Any, out: Path, weight: float | None, *, as_json: bool) -> None:
    from pipelines import engine

    job, served = engine.start(store, plan, out, weight=weight)
    say(f"job {job.id} (after a kill: lethe recommend --resume {job.id})")
    _finish(store, job, served, as_json=as_json)


def _resume(store: "Store", job_id: str, *, as_json: bool) -> None:
    from pipelines import engine

    job, served = engine.resume(store, job_id)
    _finish(store, job, served, as_json=as_json)


def _finish(store: "Store", job: Any, served: Any, *, as_json: bool) -> None:
    from pipelines import engine

    with progress("recommend (chunks)") as bar:
        summary = engine.run(store, job, served, progress=bar)
    emit(summary, as_json=as_json, text=lambda: summarised(summary))


def summarised(summary: "BatchSummary") -> str:
    """A batch in a few lines: what was written, who ordered it, who was left out."""
    origins = ", ".join(f"{count} {name}" for name, count in summary.origins.items())
    sources = ", ".join(f"{count} {name}" for name, count in summary.sources.items())
    lines = [
        f"{summary.rows} rows for {summary.people} people in {summary.out}",
        f"lists ordered by: {origins}; fallbacks: {summary.origins.get('fallback', 0)}",
        f"items brought by: {sources}",
    ]
    if summary.forgotten or summary.dropped:
        lines.append(f"left out: {summary.forgotten} forgotten, {summary.dropped} whose rows changed meanwhile")
    return "\n".join(lines)


def _some(
    store: "Store", plan: Any, people: Sequence[UserId], weight: float | None, *, explain: bool, as_json: bool
) -> None:
    from pipelines.recommend import recommend as make
    from pipelines.serving import load_histories, load_recommender

    served = load_recommender(store, plan, weight=weight, people=people)
    histories = load_histories(store, len(served.items)).by_user
    unknown = [user for user in people if user not in histories]
    if unknown:
        raise LetheError(f"no data for this user: {unknown[0]}; check the id, or ask for others")
    made = make(served, {user: histories[user] for user in people})
    titles = {item.id: item for item in served.items}
    emit(
        [{**_plain(one, titles, explain=explain), **_forgotten(served, one.user)} for one in made],
        as_json=as_json,
        text=lambda: (
            "\n\n".join(_text(one, titles, len(histories[one.user]), explain=explain) for one in made)
            + _without(served, people)
        ),
    )


def _forgotten(served: Any, user: UserId) -> dict[str, list[str]]:
    """What nothing is offered of, and what was forgotten where items can be offered all the same."""
    return {"without": served.forgotten.names(user), "weakened": served.forgotten.weakened(user)}


def _without(served: Any, people: Sequence[UserId]) -> str:
    told = {"without": "without what was forgotten", "weakened": "forgotten by a model, and not hidden"}
    found = [_forgotten(served, user) for user in people]
    names = {key: dict.fromkeys(name for one in found for name in one[key]) for key in told}
    return "".join(f"\n\n{told[key]}: {', '.join(own)}" for key, own in names.items() if own)


def _plain(made: "Recommendation", titles: dict[Any, Item], *, explain: bool) -> dict[str, Any]:
    rows = [
        {"rank": rank, "item": item, "title": titles[item].title, "score": score, "source": source}
        for rank, (item, score, source) in enumerate(zip(made.items, made.scores, made.sources, strict=True), start=1)
    ]
    used = {"history_used": [item.id for item in made.shown]} if explain else {}
    return {"user": made.user, "origin": made.origin.value, "recommendations": rows, **used}


def _text(made: "Recommendation", titles: dict[Any, Item], known: int, *, explain: bool) -> str:
    rows = [
        (rank, item, titles[item].title, titles[item].year, ", ".join(titles[item].genres), round(score, 3), source)
        for rank, (item, score, source) in enumerate(zip(made.items, made.scores, made.sources, strict=True), start=1)
    ]
    shown = table(("#", "item", "title", "year", "genres", "score", "source"), rows)
    text = f"user {made.user}: ordered by {made.origin.value}\n{shown}"
    if explain:
        history = [(item.id, item.title, item.year, ", ".join(item.genres)) for item in made.shown]
        text += f"\n\nfrom {len(history)} of {known} interactions, oldest first\n"
        text += table(("item", "title", "year", "genres"), history)
    return text
