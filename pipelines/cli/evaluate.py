"""`lethe evaluate forgetting`; `lethe evaluate concepts` stands in a module of its own."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli import evaluate_concepts, evaluate_tracer
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, progress, say, table
from pipelines.cli.train import Model, Scorer
from pipelines.evaluate import words

if TYPE_CHECKING:
    from pipelines.evaluate.rerank import Reranker
    from pipelines.evaluate.split import Data

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

BACKBONES = ("lightgcn", "bpr", "ease")
PROTOCOLS = ("interactions-10", "users-5")
QUICK = ("users-5",)

_HEADERS = (
    "method",
    "grade",
    "HR@10",
    "NDCG@10",
    "of oracle",
    "neighbours",
    "others",
    "bias",
    "asked: before",
    "after",
    "returned",
    "seconds",
    "of retrain",
)


@app.callback()
def about() -> None:
    """Measure what the system claims."""


app.command()(evaluate_concepts.concepts)
app.command()(evaluate_tracer.tracer)


@app.command()
def forgetting(
    *,
    backbone: Annotated[list[str] | None, typer.Option("--backbone", help="May be repeated; all three.")] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="May be repeated; all that apply.")] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", help="interactions-10, users-1, users-5, sequence-N, together-N (N 1, 10, 100)."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="paper (70/10/20), random (80/10/10) or temporal.")] = "paper",
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Trainings of each method (3).")] = None,
    oracles: Annotated[int, typer.Option("--oracles", min=3, help="Retrainings that set the limits.")] = 3,
    draw: Annotated[int, typer.Option("--draw", min=0, help="Seed of what is forgotten.")] = 0,
    scorer: Scorer = "off",
    model: Model = None,
    weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="The model's share, instead of a chosen one.")
    ] = None,
    people: Annotated[int | None, typer.Option("--people", min=10, help="Re-rank the lists of so many people.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, few epochs, 5% of the people.")] = False,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Begin no cell that would end later.")
    ] = None,
    membership: Annotated[
        str | None, typer.Option("--membership", help="Attack canaries: people or planted (many trainings).")
    ] = None,
    versions: Annotated[bool, typer.Option("--versions", help="Compare old and new generations too.")] = False,
    page: Annotated[Path | None, typer.Option("--page", help="Write Markdown with pictures beside it.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Compare ways to forget at the backbone, by one harness, on training rows of a split that is made once.

    Every cell (backbone, protocol, method, seed) is kept when it is finished; the same command run again goes on where
    it ended, and shows the tables of what there is. Exit status 75: cells are left. What is kept names people: any
    forget request takes it from readers, and the erase destroys it.

    \b
    Examples:
      lethe evaluate forgetting --quick --backbone ease --backbone bpr
      lethe evaluate forgetting --protocol users-5 --method shield --method sisa --minutes 50
      lethe evaluate forgetting --backbone ease --scorer packed --people 200 --json
      lethe evaluate forgetting --page forgetting.md
    """
    from pipelines.evaluate.data import read
    from pipelines.evaluate.keep import StoreKeeper
    from pipelines.evaluate.methods import METHODS
    from pipelines.evaluate.run import Grid, Lab, run
    from pipelines.evaluate.shadows import Inquiry
    from pipelines.evaluate.summary import summarise

    store = open_store(root)
    grid = Grid(
        tuple(backbone or BACKBONES),
        tuple(method or METHODS),
        tuple(protocol or (QUICK if quick else PROTOCOLS)),
        seeds=seeds or (1 if quick else 3),
        oracles=oracles,
        draw=draw,
        quick=quick,
        inquiry=Inquiry(membership) if membership else None,
        versions=versions,
    )
    data = read(store, split)
    reranker = _reranker(data, scorer, model, people)
    lab = Lab(data, StoreKeeper(store, data.epoch), METHODS, progress, reranker, weight)
    outcome = run(lab, grid, minutes=minutes)
    found = summarise(lab, outcome)
    if page is not None:
        _write(page, found)
    emit(found, as_json=as_json, text=lambda: told(found))
    done = outcome.done
    if done.left or done.failed:
        say(f"{done.left} cells left, {len(done.failed)} failed; run the same command again")
        raise typer.Exit(75 if done.left else 1)


def _write(page: Path, found: dict[str, Any]) -> None:
    from pipelines.evaluate.page import About, Part, write
    from pipelines.evaluate.run import machine

    about = About(datetime.now(UTC), shlex.join(["lethe", *sys.argv[1:]]), machine())
    write(page, about, [Part("The rows of this store", found)])


def _reranker(data: "Data", scorer: str | None, model: str | None, people: int | None) -> "Reranker | None":
    if scorer in (None, "off"):
        return None
    from pipelines.config import checked_plan
    from pipelines.evaluate.rerank import Reranker

    plan = checked_plan({}, "the command line", scorer=scorer, model=model)
    return Reranker.loaded(plan, data.items, people)


def told(found: dict[str, Any]) -> str:
    """The tables in words: one for each backbone and protocol."""
    split = found["split"]
    parts = [
        f"split {split['name']} ({split['id']}) of data epoch {found['data_epoch']}: {found['people']} people, "
        f"{found['items']} items, {found['interactions']} interactions"
    ]
    parts += [_table(one) for one in found["tables"]]
    attacks = [(one["canaries"], one, v) for one in found["membership"] for v in one["verdicts"]]
    attacks += [(one["protocol"], one, one) for one in found["versions"]]
    if attacks:
        headers = ("audit", "of", "backbone", "on", "value", "limit", "control", "oracle", "")
        parts.append(table(headers, [_attacked(*one) for one in attacks]))
    if found["not_applicable"]:
        parts.append("no such method: " + ", ".join(found["not_applicable"]))
    parts += [f"failed: {one['cell']}: {one['error']}" for one in found["failed"]]
    if found["tables"]:
        parts.append(_LEGEND)
    return "\n\n".join(parts)


_LEGEND = (
    "of oracle: NDCG@10 of those who stay over that of models that never saw the rows, 95% over people.\n"
    "neighbours, others: 1 - RBO to the oracles / what one more oracle would stay under; bias: likewise in NDCG.\n"
    "  ok: within it with every seed; over: beyond it; void: within it, but so is the model that forgot nothing.\n"
    "asked: NDCG@10 of those who lost rows before; after, as they are served; returned: with the old history given\n"
    "  back (in brackets: the oracle's)."
)


def _table(one: dict[str, Any]) -> str:
    requests = f"{one['requests']} request{'s'[: one['requests'] > 1]}"
    lost = f"{one['forgotten_rows']} training rows in {requests}"
    head = f"{one['backbone']}, {one['protocol']}: {lost}, {one['forgotten_people']} people gone whole"
    if one["oracle_spread"]:
        head += f"; another oracle would lie in {one['oracle_spread']['low']:.3f} to {one['oracle_spread']['high']:.3f}"
    shown = head + "\n" + table(_HEADERS, [_row(row) for row in one["rows"]])
    ranked = [row for row in one["rows"] if row["reranked"]]
    return shown + ("\n\n" + _reranked(ranked) if ranked else "")


def _row(row: dict[str, Any]) -> Sequence[object]:
    use, asked, cost = row["utility"], row["asked"], row["times"]
    return (
        row["method"] + (f" x{row['seeds']}" if row["seeds"] > 1 else ""),
        row["grade"],
        use["metrics"]["hit_rate@10"]["mean"],
        use["metrics"]["ndcg@10"]["mean"],
        words.interval(use.get("ratio")),
        _column(row["completeness"].get("oracle-rbo neighbours")),
        _column(row["completeness"].get("oracle-rbo random")),
        _column(row["completeness"].get("bias")),
        asked.get("before"),
        words.beside(asked.get("after"), asked.get("oracle_after")),
        words.beside(asked.get("returned"), asked.get("oracle_returned")),
        cost["work"] if cost["work"] is not None else cost["retrain"],
        None if cost["ratio"] is None else f"{cost['ratio']:.4g}" + ("" if cost["same_run"] else " (other run)"),
    )


def _reranked(rows: Sequence[dict[str, Any]]) -> str:
    headers = ("re-ranked", "people", "HR@10", "NDCG@10", "of oracle", "fallbacks", "seconds a person")
    return table(headers, [_reranked_row(row, row["reranked"]) for row in rows])


def _reranked_row(row: dict[str, Any], use: dict[str, Any]) -> Sequence[object]:
    metrics = use["metrics"]
    return (
        row["method"],
        use["people"],
        metrics["hit_rate@10"]["mean"],
        metrics["ndcg@10"]["mean"],
        words.interval(use.get("ratio")),
        use["fallbacks"],
        row["times"]["rerank_a_person"],
    )


def _attacked(on: str, about: dict[str, Any], v: dict[str, Any]) -> Sequence[object]:
    figures = (v["value"], v["limit"], v["control"], v["oracle"])
    return (v["audit"], about["method"], about["backbone"], on, *figures, words.attacked(v))


def _column(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['value']:.3g}/{found['limit']:.3g} {words.judged(found)}"
