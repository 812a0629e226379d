"""A cell on disk: the people as Parquet, what is known of the whole as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from db import files
from pipelines.evaluate.cell import Measured
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.spec import Spec

PEOPLE, CELL = "people.parquet", "cell.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """A finished cell as it is read back. `facts` holds costs, exactness and counts."""

    backbone: str
    protocol: str
    method: str
    seed: int
    rerank: bool
    run: str
    """The run that measured it: times are compared within one run."""
    facts: dict[str, Any]
    people: pl.DataFrame


def keep(keeper: Keeper, spec: Spec, measured: Measured, *, run: str, machine: dict[str, Any]) -> None:
    """Put a finished cell in place in one step."""
    document = {
        "spec": {**asdict(spec), "settings": dict(spec.settings)},
        "key": spec.key,
        "run": run,
        "machine": machine,
        "facts": measured.facts,
    }

    def _write(folder: Path) -> None:
        measured.people.write_parquet(folder / PEOPLE)
        files.write_json(folder / CELL, document)

    keeper.keep(spec.name, _write, {"split": spec.split, "key": spec.key})


def load(folder: Path) -> Cell:
    """Read what `keep` wrote."""
    document = json.loads((folder / CELL).read_text(encoding="utf-8"))
    spec = document["spec"]
    return Cell(
        backbone=spec["backbone"],
        protocol=spec["protocol"]["name"],
        method=spec["method"],
        seed=spec["seed"],
        rerank=spec["rerank"] is not None,
        run=document["run"],
        facts=document["facts"],
        people=pl.read_parquet(folder / PEOPLE),
    )
