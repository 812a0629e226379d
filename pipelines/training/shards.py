"""Shards as artefacts: the sub-models of one shard are a generation of their own, which stays where no row of it goes.

Only of SISA, whose rule says without any row who is in which shard. What RecEraser and GraphEraser learn descends from
all rows: their backbone is one artefact of scope `all` (docs/decisions/0012-shards-as-artefacts.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import artifacts
from db.artifacts import Artifact, Origin
from db.records import Scope
from db.store import Unit
from pipelines import models
from pipelines.generations import Draft, draft
from pipelines.training.choose import Tuning
from pipelines.training.job import Training
from recsys.candidates import Backbone
from recsys.sharded import ShardedVectors
from recsys.vectors import ItemVectors
from unlearning.data.partition import HashPartition

KIND = "shard"

SERVING, TUNING = "serving", "tuning"
"""Folders of a shard: its sub-model of all rows, and that of training rows, on which quota and weight are chosen."""


@dataclass(frozen=True, slots=True)
class Resharded:
    """A set in which only some shards are new: the model for tuning, the artefacts that stay, and the new shards."""

    tuning: Tuning
    kept: tuple[Artifact, ...]
    touched: tuple[int, ...]


def told(made: Resharded) -> dict[str, Any]:
    """What a backbone says of the shards that went into it, and of the settings that were kept."""
    kept = sorted(number_of(shard) for shard in made.kept)
    return {"touched": list(made.touched), "kept": kept, "epochs": made.tuning.frozen["epochs"]}


def number_of(shard: Artifact) -> int:
    """Which shard this is an artefact of."""
    return int(shard.settings["shard"])


def rule_of(how: Mapping[str, Any]) -> HashPartition:
    """Who is in which shard, from what settings say of the sharding."""
    return HashPartition(int(how["shards"]), str(how["salt"]))


def live(unit: Unit, backbone: str) -> dict[int, Artifact]:
    """The shards of a backbone that is live, by number; empty where it is not in shards, or they are no artefacts."""
    found = [a for a in artifacts.all_on_disk(unit) if a.kind == KIND and a.state == artifacts.LIVE]
    return {number_of(shard): shard for shard in found if shard.settings["backbone"] == backbone}


def drafts(
    job: Training, model: Backbone, tuning: Backbone, frozen: Mapping[str, Any], resharded: Resharded | None
) -> list[Draft]:
    """A generation of each shard that has rows and is new; none where the rows are not split by a rule."""
    how = frozen.get(models.SHARDING, {})
    if how.get("method") != "sisa" or not isinstance(model, ShardedVectors) or not isinstance(tuning, ShardedVectors):
        return []
    new = range(model.shards) if resharded is None else resharded.touched
    return [
        _draft(job, model.part(shard), tuning.part(shard), {"shard": shard, "rule": dict(how)})
        for shard in new
        if model.live[shard]
    ]


def _draft(job: Training, serving: ItemVectors, tuning: ItemVectors, facts: dict[str, Any]) -> Draft:
    name = job.plan.backbone
    origin = Origin(job.data.epoch, Scope.SHARD, seed=job.seed, settings={"backbone": name, "method": "sisa", **facts})

    def _write(folder: Path) -> None:
        for part, model in ((SERVING, serving), (TUNING, tuning)):
            (folder / part).mkdir()
            model.save(folder / part)

    return draft(job.store, KIND, f"{name}-{facts['shard']}", _write, origin)


def settle(unit: Unit, job: Training, made: Sequence[Artifact], kept: Sequence[Artifact]) -> None:
    """Record that the kept shards hold nothing of any request so far, and retire those that are no part of the set."""
    artifacts.clear(unit, kept, job.data.epoch)
    here = {shard.id for shard in (*made, *kept)}
    artifacts.retire(unit, [shard for shard in live(unit, job.plan.backbone).values() if shard.id not in here])
