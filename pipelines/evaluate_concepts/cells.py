"""A cell on disk: one row a question as Parquet, what is known of the whole as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from db import files
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate_concepts.spec import Part, Spec
from unlearning.concept.cells import Sample

ROWS, CELL = "rows.parquet", "cell.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a cell leaves: one row a question (or step of an attack), and what is known of the whole."""

    rows: pl.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished cell as it is read back."""

    part: Part
    concept: str
    method: str
    label: str
    seed: int
    facts: dict[str, Any]
    rows: pl.DataFrame
    beside: str = ""
    """Fingerprint of the oracle that a depth was measured beside."""

    @property
    def samples(self) -> dict[str, Sample]:
        """Of an examined or ranked cell, by measure, questions in their order."""
        return samples(self.rows)


def frame(found: Mapping[str, Sample], questions: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Samples as rows: the measure, the question's place, its text where it is known, its item, the value."""
    parts = [pl.DataFrame(schema=_SAMPLE)]
    for measure, sample in found.items():
        asked = questions.get(measure, ())
        columns = {
            "measure": [measure] * len(sample.values),
            "place": list(range(len(sample.values))),
            "question": list(asked) if len(asked) == len(sample.values) else [None] * len(sample.values),
            "item": list(sample.items),
            "value": [float(value) for value in sample.values],
        }
        parts.append(pl.DataFrame(columns, schema=_SAMPLE))
    return pl.concat(parts)


_SAMPLE = {
    "measure": pl.String,
    "place": pl.Int64,
    "question": pl.String,
    "item": pl.String,
    "value": pl.Float64,
}


def samples(rows: pl.DataFrame) -> dict[str, Sample]:
    """What `frame` was made of."""
    parts = rows.sort("place").partition_by("measure", as_dict=True, maintain_order=True)
    order = rows["measure"].unique(maintain_order=True).to_list()
    return {name: _sample(parts[(name,)]) for name in order}


def _sample(part: pl.DataFrame) -> Sample:
    return Sample(part["value"].to_numpy().astype(np.float64), tuple(part["item"].to_list()))


def keep(keeper: Keeper, spec: Spec, measured: Measured, *, run: str, machine: Mapping[str, Any]) -> None:
    """Put a finished cell in place in one step."""
    about = {**asdict(spec), "settings": dict(spec.settings)}
    document = {"spec": about, "key": spec.key, "run": run, "machine": dict(machine), "facts": dict(measured.facts)}

    def _write(folder: Path) -> None:
        measured.rows.write_parquet(folder / ROWS)
        files.write_json(folder / CELL, document)

    keeper.keep(spec.name, _write, {"concept": spec.concept, "key": spec.key})


def load(folder: Path, spec: Spec) -> Kept:
    """Read what `keep` wrote."""
    document = json.loads((folder / CELL).read_text(encoding="utf-8"))
    return Kept(
        part=spec.part,
        concept=spec.concept,
        method=spec.method,
        label=spec.label,
        seed=spec.seed,
        facts=document["facts"],
        rows=pl.read_parquet(folder / ROWS),
        beside=spec.beside,
    )
