"""Residual preference: what of somebody's taste a fine-tuned model keeps after it was trained anew without them.

A taste adapter is trained on training rows: with those who are asked about, without them (as an erase would rebuild
it), without them from another seed (what a seed alone moves), and on them alone (the control: what memory looks like).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from db import files
from db.errors import LetheError
from db.records import Split
from pipelines.drift.figures import intervals
from pipelines.drift.requests import people_drawn
from pipelines.drift.run import Lab
from pipelines.evaluate.guard import Guard, Stage
from pipelines.evaluate.key import key_of
from pipelines.evaluate.split import Data
from pipelines.evaluate.tasks import Task, work
from unlearning.concept.base import Progress
from unlearning.data.taste import Taste, TasteSettings, gaps, tastes, taught

HARNESS = 1
"""Grows when it is measured otherwise: what is kept is not found any more."""

BASE, WITH, WITHOUT, AGAIN, ALONE = "base", "with them", "without them", "without them, another seed", "them alone"

MODELS = (BASE, WITH, WITHOUT, AGAIN, ALONE)

ASKED: Mapping[str, int] = {"own history": 12, "no history": 0}
"""How much of the history is shown, by the name of the question."""

PAIRS = 8
"""Items of each person that are asked about, each beside one of like popularity that they never met."""

ROWS = "rows.parquet"


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that determines the figures."""

    split: str
    model: str
    people: str
    """Digest of who is asked about."""
    settings: Mapping[str, Any]
    seed: int
    pairs: int = PAIRS

    @property
    def name(self) -> str:
        """What the figures are kept as."""
        return f"taste-{key_of(self, HARNESS)[:12]}"


def residual(lab: Lab, data: Data, settings: TasteSettings, *, seed: int = 0) -> pl.DataFrame:
    """One row a person asked about, model and question: `gap` in nats, as `unlearning.data.taste.gaps`.

    The people are those of the drift's requests, told by their place among those drawn. Measured once, then kept.
    """
    training = Guard(data).training(data.log.only(Split.TRAIN), Stage.ADAPTER)
    everyone = tastes(training, data.items, seed=seed)
    drawn = people_drawn(training.histories(), lab.asking).tolist()
    digest = hashlib.sha256(repr(sorted(drawn)).encode()).hexdigest()
    spec = Spec(data.split.id, lab.model.fingerprint, digest, asdict(settings), seed)
    asked = [one for row in drawn if (one := everyone[row]) is not None]
    chosen = set(drawn)
    others = [one for row, one in enumerate(everyone) if one is not None and row not in chosen]

    def _do(bar: Progress) -> None:
        found = _measured(lab, asked, others, settings, seed=seed, progress=bar)

        def _write(folder: Path) -> None:
            found.write_parquet(folder / ROWS)
            files.write_json(folder / "cell.json", {"spec": asdict(spec), "run": lab.run})

        lab.keeper.keep(spec.name, _write, {"split": spec.split, "key": spec.name})

    done = work([Task(spec.name, "taste", "residual preference", _do)], lab.keeper, lab.bars)
    if done.failed:
        raise LetheError(f"residual preference: {done.failed[0][1]}")
    folder = lab.keeper.find(spec.name)
    if folder is None:
        raise LetheError(f"{spec.name} was measured and is not kept: run the same command again")
    return pl.read_parquet(folder / ROWS)


def _measured(
    lab: Lab,
    asked: Sequence[Taste],
    others: Sequence[Taste],
    settings: TasteSettings,
    *,
    seed: int,
    progress: Progress,
) -> pl.DataFrame:
    trainings = {WITH: ([*others, *asked], 0), WITHOUT: (others, 1), AGAIN: (others, 2), ALONE: (asked, 3)}
    rows = _rows(lab, asked, BASE)
    for place, (name, (people, draw)) in enumerate(trainings.items()):

        def _bar(done: int, total: int, before: int = place) -> None:
            progress(before * total + done, len(trainings) * total)

        with taught(
            lab.model,
            people,
            settings,
            seed=int(np.random.default_rng([seed, 43, draw]).integers(2**31)),
            progress=_bar,
        ):
            rows += _rows(lab, asked, name)
    return pl.DataFrame(rows)


def _rows(lab: Lab, asked: Sequence[Taste], model: str) -> list[dict[str, Any]]:
    return [
        {"person": person, "model": model, "asked": name, "gap": gap}
        for name, length in ASKED.items()
        for person, gap in enumerate(gaps(lab.model, asked, pairs=PAIRS, length=length).tolist())
    ]


def told(rows: pl.DataFrame, *, seed: int) -> list[dict[str, Any]]:
    """For each question: the gap of each model, and what separates models, with 95% intervals over people.

    `left` is what the rebuilt model has over one rebuilt from another seed, `taken` what the rebuild took, `found` what
    the control has over it: where that is not above 0, the measure cannot tell memory, and the rest means nothing.
    """
    found = []
    for asked in ASKED:
        own = rows.filter(pl.col("asked") == asked)
        gap = {name: own.filter(pl.col("model") == name).sort("person")["gap"].to_numpy() for name in MODELS}
        differences = {
            "taken": gap[WITH] - gap[WITHOUT],
            "left": gap[WITHOUT] - gap[AGAIN],
            "found": gap[ALONE] - gap[WITHOUT],
        }
        made = intervals([*gap.values(), *differences.values()], seed)
        names = (*gap, *differences)
        by_name = dict(zip(names, made, strict=True))
        found.append(
            {
                "asked": asked,
                "people": len(gap[BASE]),
                "models": {name: by_name[name] for name in MODELS},
                **{name: by_name[name] for name in differences},
                "tells": bool(by_name["found"] and by_name["found"]["low"] > 0),
            }
        )
    return found
