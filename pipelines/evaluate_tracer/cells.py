"""A cell on disk: a row a person as Parquet, what is known of the whole as JSON, a recommender where one is kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from db import files
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate_tracer.spec import Spec
from recsys.semantic_ids.backbone import SemanticIds

ROWS, CELL, MODEL = "rows.parquet", "cell.json", "model"


@dataclass(frozen=True)
class Kept:
    """A finished cell as it is read back."""

    spec: Spec
    facts: dict[str, Any]
    rows: pl.DataFrame


def keep(
    keeper: Keeper, spec: Spec, rows: pl.DataFrame, facts: Mapping[str, Any], *, model: SemanticIds | None = None
) -> Path:
    """Put a finished cell in place in one step."""

    def _write(folder: Path) -> None:
        rows.write_parquet(folder / ROWS)
        files.write_json(folder / CELL, {"spec": asdict(spec), "key": spec.key, "facts": dict(facts)})
        if model is not None:
            (folder / MODEL).mkdir()
            model.save(folder / MODEL)

    return keeper.keep(spec.name, _write, {"method": spec.method, "key": spec.key})


def load(folder: Path, spec: Spec) -> Kept:
    """Read what `keep` wrote."""
    document = json.loads((folder / CELL).read_text(encoding="utf-8"))
    return Kept(spec, document["facts"], pl.read_parquet(folder / ROWS))


def model_of(folder: Path) -> SemanticIds:
    """The recommender that a cell kept."""
    return SemanticIds.load(folder / MODEL)
