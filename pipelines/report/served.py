"""What is served now: backbone, language model and its weight, adapters, and what everything descends from."""

from collections.abc import Iterator, Mapping
from typing import Any

from db.artifacts import LIVE, Artifact
from db.records import Mode
from pipelines.evaluate.words import number
from pipelines.report.markup import Html, Row, absent, code, join, short, table, tag
from pipelines.report.state import StoreState


def section(state: StoreState) -> Html:
    """The trained sets, the adapters, and the lineage of all artefacts."""
    return join(_blocks(state))


def _blocks(state: StoreState) -> Iterator[Html]:
    counts = state.counts
    yield tag(
        "p",
        f"{counts['users']:,} people, {counts['items']:,} items and {counts['interactions']:,} visible interactions; "
        f"{counts['hidden']:,} more are hidden. Data epoch {state.epoch}: it grows whenever visible rows change.",
    )
    live = [a for a in state.artefacts if a.state == LIVE and a.mode is Mode.SERVING]
    sets = [a for a in live if a.kind == "settings"]
    if sets:
        headers: Row = ("backbone", "language model", "its weight", "what that adds", "candidates", "filter", "seed")
        yield table(headers, (_set(a) for a in sets), "Trained sets that serve, the newest last")
    else:
        yield absent("Nothing is trained yet:", "lethe train")
    adapters = [a for a in live if a.kind == "adapter"]
    if adapters:
        headers = ("request", "trained on", "method", "seconds", "generation", "sha256")
        yield table(headers, (_adapter(a) for a in adapters), "Adapters that make the language model forget")
        yield tag("p", "The base is never written: an adapter that is taken off brings its concept back.")
    else:
        yield tag("p", "No adapter acts on the language model.")
    if state.artefacts:
        headers = ("artefact", "generation", "state", "scope", "mode", "data epoch", "descends from", "sha256")
        yield table(
            headers, (_lineage(a, state) for a in state.artefacts), "Everything on disk, and what it descends from"
        )


def _set(artifact: Artifact) -> Row:
    plan: Mapping[str, Any] = artifact.settings.get("plan", {})
    off = plan.get("scorer") == "off"
    weight = artifact.settings.get("weight")
    return (
        artifact.name,
        "none" if off else f"{plan.get('model', '')} ({plan.get('scorer', '')})",
        "" if off else number(weight, 2),
        "" if off else _uplift(artifact.settings.get("weight_choice")),
        f"{plan.get('candidates', '')} by {plan.get('retrieve', '')}",
        f"{plan.get('filter', '')}, {plan.get('length', '')} rows",
        str(plan.get("seed", "")),
    )


def _uplift(choice: Mapping[str, Any] | None) -> str:
    """What validation people gained by the weight, with its interval."""
    found = (choice or {}).get("uplift")
    if not found or choice is None:
        return ""
    told = f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}] NDCG@10"
    return f"{told}, {choice.get('people', '')} validation people"


def _adapter(artifact: Artifact) -> Row:
    told = artifact.settings
    seconds = told.get("seconds")
    figures = ("" if seconds is None else f"{seconds:.1f}", str(artifact.generation), short(artifact.sha256))
    return (code(artifact.name), short(str(told.get("base", ""))), str(told.get("method", "")), *figures)


def _lineage(artifact: Artifact, state: StoreState) -> Row:
    known = {a.id: f"{a.kind}/{a.name} {a.generation}" for a in state.artefacts}
    parents = [known.get(key, "one that is gone") for key in state.parents.get(artifact.id, ())]
    return (
        f"{artifact.kind}/{artifact.name}",
        str(artifact.generation),
        artifact.state,
        artifact.scope.value,
        artifact.mode.value,
        str(artifact.data_epoch),
        ", ".join(parents) or ("the visible rows" if artifact.scope.value != "none" else "no row of anybody"),
        short(artifact.sha256),
    )
