"""What a training registers: its parts, and the settings that hold them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from db import files
from db.artifacts import Artifact
from pipelines.generations import Draft, switch
from pipelines.training import shards
from pipelines.training.job import Training

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """The generations that readers use from now on."""

    backbone: Artifact
    settings: dict[str, Any]
    artifacts: tuple[Artifact, ...]


def register(
    job: Training, settings: dict[str, Any], drafts: Sequence[Draft], text: Artifact, *, kept: Sequence[Artifact] = ()
) -> Trained:
    """Register the parts and the settings that hold them together in one transaction: a set is never mixed.

    Shards, new ones and those that are `kept`, are parents of the backbone, the first of `drafts`; the settings have
    all other parts for parents. Shards of the set before that are neither are taken from readers.
    """
    facts = {"seed": job.plan.seed, "settings": settings}
    last = job.draft_file("settings", SETTINGS, lambda path: files.write_json(path, settings), **facts)
    backbone, *others = [draft for draft in drafts if draft.kind != shards.KIND]
    with job.store.writing() as unit:
        made = switch(unit, [draft for draft in drafts if draft.kind == shards.KIND])
        shards.settle(unit, job, made, kept)
        whole = tuple(shard.id for shard in (*made, *kept))
        parts = switch(unit, [replace(backbone, origin=replace(backbone.origin, parents=whole)), *others])
        parents = (*(part.id for part in parts), text.id)
        (held,) = switch(unit, [replace(last, origin=job.origin(**facts, parents=parents))])
        unit.commit()
    return Trained(parts[0], settings, (*parts, *made, text, held))
