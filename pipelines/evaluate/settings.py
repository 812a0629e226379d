"""Settings of a backbone: chosen once on validation rows, kept, and the same for every method and for the oracle."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from db import files
from db.errors import LetheError
from db.records import Split
from pipelines import models
from pipelines.evaluate.guard import Guard, Stage
from pipelines.evaluate.keep import Keeper
from pipelines.evaluate.split import Data
from recsys.ease import EaseSettings
from recsys.heldout import held_out
from unlearning.data.base import Progress, quiet

QUICK_EPOCHS = 10
"""Of a `--quick` run, which chooses nothing for a trained backbone."""

FILE = "settings.json"

_TOLD = ("curve", "tried")
"""How settings were chosen: kept beside them, and no part of what a result is keyed by."""


def seed_of(*parts: object) -> int:
    """A seed that depends on every part and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "little") & 0x7FFFFFFF


def chosen(
    data: Data, backbone: str, guard: Guard, keeper: Keeper, *, quick: bool = False, progress: Progress = quiet
) -> dict[str, Any]:
    """The frozen settings. They are found if they were kept, and chosen otherwise; `quick` ones are kept apart.

    They are chosen with all rows of the split, those that are forgotten later included, for every method alike.
    """
    name = f"settings-{backbone}-{data.split.id}" + ("-quick" if quick else "")
    folder = keeper.find(name)
    if folder is None:
        found = _choose(data, backbone, guard, quick=quick, progress=progress)
        folder = keeper.keep(name, lambda where: _write(where, found), {"split": data.split.id})
    return {key: value for key, value in read_document(folder / FILE).items() if key not in _TOLD}


def read_document(path: Path) -> dict[str, Any]:
    """A kept JSON document."""
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return known


def _choose(data: Data, backbone: str, guard: Guard, *, quick: bool, progress: Progress) -> dict[str, Any]:
    log = data.log
    questions = held_out(log, Split.VALID)
    questions = guard.tuning(questions.take(questions.warm))
    if len(questions.people) and not (quick and backbone not in ("ease", "popularity")):
        guard.training(log.only(Split.TRAIN), Stage.TRAINING)
        seed = seed_of("settings", backbone)
        return models.choose(backbone, log, questions, seed=seed, progress=progress)[1]
    return _default(backbone, quick=quick)


def _default(backbone: str, *, quick: bool) -> dict[str, Any]:
    if backbone == "popularity":
        return {}
    if backbone == "ease":
        return asdict(EaseSettings())
    from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS

    known = {"bpr": BPR_SETTINGS, "lightgcn": LIGHTGCN_SETTINGS}
    if backbone not in known:
        raise LetheError(f"backbone {backbone!r} is unknown: choose lightgcn, bpr, ease or popularity")
    return {**asdict(known[backbone]), **({"epochs": QUICK_EPOCHS} if quick else {})}


def _write(folder: Path, settings: dict[str, Any]) -> None:
    files.write_json(folder / FILE, settings)
