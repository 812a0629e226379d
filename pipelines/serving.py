"""Loads one consistent set of generations, pinned, for serving: settings and everything they were chosen with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from db import artifacts, catalogue
from db.artifacts import Artifact
from db.errors import LetheError
from db.load import load_log
from db.records import Item, UserId
from db.store import Store, Unit
from llm.score.base import Scorer
from pipelines import models
from pipelines.concepts import tokens
from pipelines.concepts.serve import Forgotten, read_forgotten
from pipelines.config import Plan, checked_plan
from pipelines.generations import checked_folder
from recsys.candidates import IntArray
from recsys.popularity import Popularity
from retrieval.filters.base import HistoryFilter
from retrieval.retrieve import Retriever, Source
from retrieval.text import TextIndex


@dataclass(frozen=True, slots=True)
class Recommender:
    """Everything a recommendation passes, pinned to the generations it was loaded from."""

    items: tuple[Item, ...]
    retriever: Retriever
    filter: HistoryFilter
    scorer: Scorer | None
    weight: float
    plan: Plan
    backbone: Artifact
    forgotten: Forgotten


@dataclass(frozen=True, slots=True)
class Histories:
    """Visible histories of people at one data epoch, as item rows of the pinned catalogue, oldest first."""

    epoch: int
    by_user: dict[UserId, IntArray]


def plan_for(store: Store, **overrides: Any) -> Plan:
    """The plan of the newest trained set (or of the backbone that is asked for), with the given options over it."""
    with store.reading() as unit:
        settings = _live_settings(unit, overrides.get("backbone"))
    return checked_plan(settings.settings["plan"], "the trained set", **overrides)


def load_recommender(
    store: Store, plan: Plan, *, weight: float | None = None, people: Iterable[UserId] | None = None
) -> Recommender:
    """The live set of the plan's backbone, to serve these people (None: anybody), without the concepts they forgot.

    `weight` stands in for the weight that validation chose. Raises LetheError when nothing is trained, when bytes are
    not those that were registered, when the plan wants a filter or a model that the set was not tuned for, and when an
    adapter does not fit the model or does not show on its canary, or ids that were moved do not fit the backbone.
    """
    with store.reading() as unit:
        settings = _live_settings(unit, plan.backbone)
        parts = {a.kind: a for a in (artifacts.get(unit, key) for key in artifacts.parents(unit, settings.id))}
        items = catalogue.load_items(unit)
        forgotten = read_forgotten(unit, people)
    weight = _weight(plan, settings.settings, weight)
    checked_folder(store.root, settings)
    where = {kind: checked_folder(store.root, artifact) for kind, artifact in parts.items()}
    backbone = tokens.load(store, parts["backbone"], where["backbone"])
    text = TextIndex.load(where["text-index"])
    known = tuple(items[: len(backbone.items)])
    popularity = Popularity.load(where["popularity"])
    scorer = models.scorer(plan) if weight > 0 else None
    return Recommender(
        items=known,
        retriever=Retriever(backbone, text, popularity, settings.settings["quota"], Source(plan.retrieve)),
        filter=models.history_filter(plan.filter, known, text, where),
        scorer=scorer,
        weight=weight,
        plan=plan,
        backbone=parts["backbone"],
        forgotten=forgotten.over(known).attach(store.root, scorer),
    )


def _weight(plan: Plan, chosen: Mapping[str, Any], given: float | None) -> float:
    """The fusion weight: as given, 0 without a scorer, else what was chosen for exactly this scorer and model."""
    if given is not None and not 0 <= given <= 1:  # also where it is no number at all
        raise LetheError(f"--weight {given} is no share; give a number from 0 to 1")
    if plan.scorer == "off":
        return 0.0
    if given is not None:
        return given
    tuned = Plan(**chosen["plan"])
    for name in ("scorer", "model"):
        wanted, was = getattr(plan, name), getattr(tuned, name)
        if wanted != was:
            raise LetheError(
                f"the weight of the model was chosen for --{name} {was}, not for {wanted}; "
                f"run `lethe train --{name} {wanted}`, or give --weight"
            )
    return float(chosen["weight"])


def load_histories(store: Store, items: int) -> Histories:
    """Every visible person's history over the first `items` rows of the catalogue."""
    with store.reading() as unit:
        epoch, log = catalogue.epoch(unit), load_log(unit)
    histories = [history[history < items].astype(np.int64) for history in log.histories()]
    return Histories(epoch, dict(zip(log.users, histories, strict=True)))


def _live_settings(unit: Unit, backbone: str | None) -> Artifact:
    found = artifacts.live(unit, "settings", backbone)
    if found is None:
        wanted = f" --backbone {backbone}" if backbone else ""
        raise LetheError(f"nothing is trained in {unit.root}; run `lethe train{wanted}`")
    return found
