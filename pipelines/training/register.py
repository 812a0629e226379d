"""What a training registers: its parts, and the settings that hold them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from db import files
from db.artifacts import Artifact
from pipelines.generations import Draft, switch
from pipelines.training.job import Training

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """The generations that readers use from now on."""

    backbone: Artifact
    settings: dict[str, Any]
    artifacts: tuple[Artifact, ...]


def register(job: Training, settings: dict[str, Any], drafts: Sequence[Draft], text: Artifact) -> Trained:
    """Register the parts and the settings that hold them together in one transaction: a set is never mixed."""
    facts = {"seed": job.plan.seed, "settings": settings}
    last = job.draft_file("settings", SETTINGS, lambda path: files.write_json(path, settings), **facts)
    with job.store.writing() as unit:
        parts = switch(unit, drafts)
        parents = (*(part.id for part in parts), text.id)
        (kept,) = switch(unit, [replace(last, origin=job.origin(**facts, parents=parents))])
        unit.commit()
    return Trained(parts[0], settings, (*parts, text, kept))
