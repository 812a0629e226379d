"""One configuration object: declared once, unknown keys refused, read from `lethe.toml` in the root."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from db.errors import LetheError

BackboneName = Literal["lightgcn", "bpr", "ease", "popularity", "semantic-ids"]
FilterName = Literal["preference", "diversity", "attention", "recent", "random", "none"]
RetrieveName = Literal["backbone", "text", "hybrid"]
ScorerName = Literal["packed", "listwise", "generate", "off"]
ShardingName = Literal["sisa", "receraser", "grapheraser"]

TABLES = ("concept", "tokens")
"""Tables of `lethe.toml` that are another component's own."""

SHARDABLE = ("lightgcn", "bpr")
"""Backbones of item vectors, which can be trained in shards."""


class Plan(BaseModel):
    """What `lethe train` builds and `lethe recommend` uses; stored with the settings that were chosen under it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    backbone: BackboneName = "lightgcn"
    shards: int = Field(0, ge=0, le=1000)
    """Sub-models, each of some people or interactions; 0: one model of all."""
    sharding: ShardingName = "sisa"
    """Which way the rows are split where there are shards."""
    retrieve: RetrieveName = "hybrid"
    filter: FilterName = "recent"
    length: int = Field(20, ge=0, le=1000)
    """Interactions of the history that reach the prompt."""
    candidates: int = Field(50, ge=1, le=1000)
    top: int = Field(10, ge=1, le=1000)
    scorer: ScorerName = "packed"
    model: str = Field("lethe-tiny", min_length=1)
    device: str = "auto"
    max_shift: int | None = Field(None, ge=0)
    """How many ranks the model may move an item from the backbone's order; None: any."""
    tuning_people: int = Field(150, ge=10)
    """Validation people on whom the fusion weight is chosen."""
    seed: int = Field(2020, ge=0, lt=2**31)
    chunk: int = Field(64, ge=1)
    """People a chunk of a batch: the unit of resume."""


def load_plan(root: Path, **overrides: Any) -> Plan:
    """`lethe.toml` of the root, where there is one, with the command line's options over it (None: not given).

    Raises LetheError naming the first key or value that does not fit.
    """
    stored = {key: value for key, value in stored_settings(root).items() if key not in TABLES}
    return checked_plan(stored, str(root / "lethe.toml"), **overrides)


def stored_settings(root: Path) -> dict[str, Any]:
    """Everything that `lethe.toml` of the root holds, nothing where there is none; a LetheError where it is no TOML."""
    path = root / "lethe.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LetheError(f"{path} is not TOML: {error}") from error


def checked_plan(stored: Mapping[str, Any], source: str, **overrides: Any) -> Plan:
    """A plan from stored values with options over them; `source` names where the stored ones came from."""
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        plan = Plan(**{**stored, **given})
    except ValidationError as error:
        raise LetheError(_first(error, source, given)) from error
    if plan.top > plan.candidates:
        raise LetheError(f"--top {plan.top} is more than the {plan.candidates} candidates; raise --candidates to it")
    if plan.shards and plan.backbone not in SHARDABLE:
        raise LetheError(
            f"--shards {plan.shards} is for {' and '.join(SHARDABLE)}, not for {plan.backbone}; leave it out"
        )
    if "sharding" in given and not plan.shards:
        raise LetheError(f"--sharding {plan.sharding} splits nothing without shards; say how many with --shards")
    return plan


def _first(error: ValidationError, source: str, given: dict[str, Any]) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    where = f"--{key.replace('_', '-')}" if key in given else f"{source}: {key}"
    if problem["type"] == "extra_forbidden":
        return f"{where} is no setting; known: {', '.join(Plan.model_fields)}"
    return f"{where} is {problem['input']!r:.60}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
