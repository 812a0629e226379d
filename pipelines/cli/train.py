"""`lethe train`."""

from typing import Annotated, Any

import typer

from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, progress, table

Backbone = Annotated[
    str | None, typer.Option("--backbone", help="lightgcn (default), bpr, ease, popularity or semantic-ids.")
]
Shards = Annotated[int | None, typer.Option("--shards", help="bpr, lightgcn: in so many sub-models; 0 (default): one.")]
Sharding = Annotated[str | None, typer.Option("--sharding", help="sisa (default), receraser or grapheraser.")]
Filter = Annotated[str | None, typer.Option("--filter", help="recent, preference, diversity, attention, random, none.")]
Scorer = Annotated[str | None, typer.Option("--scorer", help="packed (default), listwise, generate or off.")]
Model = Annotated[str | None, typer.Option("--model", help="lethe-tiny, a folder, or a Qwen checkpoint's name.")]
Retrieve = Annotated[str | None, typer.Option("--retrieve", help="hybrid (default), backbone or text.")]
Candidates = Annotated[int | None, typer.Option("--candidates", help="Items that reach the language model.")]
Length = Annotated[int | None, typer.Option("--length", help="Interactions of the history in a prompt.")]


def train(
    *,
    backbone: Backbone = None,
    shards: Shards = None,
    sharding: Sharding = None,
    filter_name: Filter = None,
    scorer: Scorer = None,
    model: Model = None,
    retrieve: Retrieve = None,
    candidates: Candidates = None,
    length: Length = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Every generation still gets a seed of its own.")] = None,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Choose settings on validation rows, then fit everything on all visible rows.

    The new set replaces the old one in one step when it is whole; options can stand in ROOT/lethe.toml too.

    \b
    Examples:
      lethe train
      lethe train --backbone ease --filter diversity
      lethe train --backbone bpr --shards 10
      lethe train --backbone semantic-ids --scorer off
      lethe train --model Qwen/Qwen2.5-3B-Instruct
    """
    from pipelines.config import load_plan
    from pipelines.train import train as run

    store = open_store(root)
    plan = load_plan(
        root,
        backbone=backbone,
        shards=shards,
        sharding=sharding,
        filter=filter_name,
        scorer=scorer,
        model=model,
        retrieve=retrieve,
        candidates=candidates,
        length=length,
        seed=seed,
    )
    made = run(store, plan, progress=progress)
    emit(made, as_json=as_json, text=lambda: _text(made.settings, made.artifacts))


def _text(settings: dict[str, Any], kept: Any) -> str:
    rows = [(a.kind, a.name, a.generation, a.scope.value, a.data_epoch, a.sha256[:12]) for a in kept]
    return table(("artefact", "name", "generation", "scope", "epoch", "sha256"), rows) + "\n\n" + choices(settings)


def choices(settings: dict[str, Any]) -> str:
    """What validation rows decided, in words."""
    lines = [f"text neighbours: {settings['quota']:.0%} of the candidates"]
    choice = settings["weight_choice"]
    if choice is None:
        return lines[0]
    plan, uplift = settings["plan"], choice["uplift"]
    lines.append(
        f"weight of {plan['model']}: {settings['weight']:g}; NDCG@10 uplift over the backbone at {choice['best']:g} on "
        f"{choice['people']} validation people: {uplift['mean']:+.4f} [{uplift['low']:+.4f}, {uplift['high']:+.4f}]"
    )
    if settings["weight"] == 0:
        lines.append("the interval includes 0: the model did not earn a weight, lists follow the backbone")
    return "\n".join(lines)
