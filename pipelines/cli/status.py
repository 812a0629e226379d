"""`lethe status`."""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from pipelines.cli.concept import requests as concepts
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, table

if TYPE_CHECKING:
    from db.artifacts import Artifact
    from pipelines.status import Status


def status(*, root: Root = ROOT, as_json: Json = False) -> None:
    """Show every request, its open steps, the concepts that are forgotten and the artefacts on disk.

    Exit status 1 while a request is open past its deadline.

    \b
    Example:
      lethe status --json
    """
    from pipelines.status import status as read_status

    found = read_status(open_store(root), now=datetime.now(UTC))
    emit(found, as_json=as_json, text=lambda: _text(found))
    if found.overdue:
        raise typer.Exit(1)


def _text(found: "Status") -> str:
    counts = found.counts
    head = (
        f"{counts['users']} users, {counts['items']} items, {counts['interactions']} visible interactions, "
        f"{counts['hidden']} hidden; data epoch {found.epoch}"
    )
    requests = [
        (
            s.request.id,
            s.request.state.value,
            s.grade + (f" by {', '.join(s.methods)}" if s.methods else ""),
            s.request.rows,
            f"{s.request.deadline:%Y-%m-%d}",
            _note(s.overdue, s.steps),
        )
        for s in found.standings
    ]
    single = [a for a in found.artefacts if a.kind != "evaluation"]
    cells = Counter((a.state, a.scope.value, a.data_epoch) for a in found.artefacts if a.kind == "evaluation")
    kept: list[tuple[object, ...]] = [(a.kind, a.name, a.generation, a.state, a.scope.value, _epoch(a)) for a in single]
    kept += [("evaluation", f"{number} kept", None, *told) for told, number in cells.items()]
    parts = [head]
    about = ("request", "state", "grade", "rows", "deadline", "open steps")
    parts += [table(about, requests)] if requests else ["no requests"]
    parts += [concepts(found.concepts)] if found.concepts else []
    parts += [table(("artefact", "name", "generation", "state", "scope", "epoch"), kept)] if kept else ["no artefacts"]
    return "\n\n".join(parts)


def _epoch(artifact: "Artifact") -> object:
    """The data epoch; of a shard that outlived requests also the one up to which they were about others."""
    clear = artifact.settings.get("clear_to")
    return f"{artifact.data_epoch}, none of its rows hidden to {clear}" if clear else artifact.data_epoch


def _note(overdue: bool, steps: tuple[str, ...]) -> str:
    return ("OVERDUE: " if overdue else "") + " ".join(steps)
