"""Trains one consistent set: settings chosen on validation rows, frozen, then everything refitted on all rows."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from db import artifacts, catalogue, files
from db.artifacts import Artifact, Origin
from db.errors import LetheError, NotFinishedError
from db.load import load_log
from db.log import InteractionLog
from db.records import Item, Scope, Split
from db.store import Store
from pipelines import models, tune
from pipelines.config import Plan
from pipelines.generations import Draft, checked_folder, draft, fresh_seed, sweep, switch
from recsys.candidates import Backbone
from recsys.heldout import HeldOut, held_out
from recsys.popularity import PopularityFitter
from retrieval.categories import Categories, from_genres
from retrieval.filters.attention_training import AttentionFitter
from retrieval.filters.base import HistoryFilter
from retrieval.filters.hit_rate import HitRateFitter
from retrieval.retrieve import Retriever, Source
from retrieval.text import TextIndex

Bar = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[Bar]]
"""Opens a progress bar under a label."""

SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class Data:
    """What one training reads, at one data epoch."""

    epoch: int
    log: InteractionLog
    items: list[Item]
    split: str
    """Hash of the recorded random split."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What validation rows decided, and the filter that was measured on the way."""

    settings: dict[str, Any]
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A backbone that was made otherwise than by a fit, from the rows of `epoch`, with the settings it keeps."""

    model: Backbone
    frozen: dict[str, Any]
    epoch: int
    method: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The generations that readers use from now on."""

    backbone: Artifact
    settings: dict[str, Any]
    artifacts: tuple[Artifact, ...]


def quiet(_label: str) -> AbstractContextManager[Bar]:
    """No progress bar."""
    return nullcontext(lambda done, total: None)


def train(store: Store, plan: Plan, *, progress: Progress = quiet) -> Trained:
    """Build a whole new set beside the old one and switch to it in one transaction.

    Raises StoreBusyError while another command maintains the root, and LetheError when there is nothing to train on.
    """
    with store.maintaining():
        sweep(store)
        made = build(store, plan, progress=progress)
        sweep(store)
    return made


def build(store: Store, plan: Plan, *, progress: Progress = quiet, ready: Ready | None = None) -> Trained:
    """The same for a caller that maintains the root already; `ready` is a backbone that needs no fit (a downdate)."""
    data = read(store)
    if ready is not None and ready.epoch != data.epoch:
        raise NotFinishedError("rows changed while the backbone was made; run the same command again")
    text = text_index(store, data.items, progress)
    index = TextIndex.load(checked_folder(store.root, text))
    chosen = choose(store, plan, data, index, progress, frozen=ready.frozen if ready else None)
    with store.reading() as unit:
        seed = fresh_seed(plan.seed, artifacts.next_generation(unit, "backbone", plan.backbone))
    started = time.perf_counter()
    model = ready.model if ready else _refit(plan, data, chosen, seed, progress)
    made = {"method": ready.method if ready else "retrain", **models.told(model)}
    made["seconds"] = round(ready.seconds if ready else time.perf_counter() - started, 4)
    origin = partial(Origin, data.epoch, Scope.ALL)
    drafts = [
        draft(store, "backbone", plan.backbone, model.save, origin(seed=seed, settings=made)),
        draft(store, "popularity", plan.backbone, PopularityFitter().fit(data.log).save, origin()),
        *chosen.drafts,
        *_serving_attention(store, plan, data, index, seed, progress),
    ]
    return _register(store, plan, data, chosen.settings, drafts, text)


def read(store: Store) -> Data:
    """Everything a training needs, in one consistent read. Raises LetheError where that is nothing."""
    with store.reading() as unit:
        recipes = catalogue.split_recipes(unit)
        data = Data(
            catalogue.epoch(unit),
            load_log(unit),
            catalogue.load_items(unit),
            recipes["random"].hash if "random" in recipes else "",
        )
    if not len(data.log):
        raise LetheError("there are no visible interactions to train on; run `lethe ingest` first")
    return data


def choose(
    store: Store,
    plan: Plan,
    data: Data,
    text: TextIndex,
    progress: Progress,
    *,
    frozen: dict[str, Any] | None = None,
) -> Chosen:
    """Fit on training rows and choose on validation rows: the backbone's settings, the quota, the model's weight.

    With `frozen` the backbone's settings are kept as they are, and only the others are chosen.
    """
    training, questions = data.log.only(Split.TRAIN), _warm(held_out(data.log, Split.VALID))
    with progress(f"choose {plan.backbone} on validation rows") as bar:
        if frozen is None:
            model, frozen = models.choose(plan.backbone, data.log, questions, seed=plan.seed, progress=bar)
        else:
            model = models.refit(plan.backbone, training, frozen, seed=plan.seed, progress=bar)
    share = tune.quota(model, text, questions, plan)
    categories = from_genres(data.items)
    drafts = _measured(store, plan, data, model, questions, categories, progress)
    where = {d.kind: store.root / d.path for d in drafts}
    keep = _tuning_filter(plan, data, training, text, where)
    retriever = Retriever(model, text, PopularityFitter().fit(training), share.share, Source(plan.retrieve))
    settings = {
        "plan": plan.model_dump(),
        "split": data.split,
        "backbone": frozen,
        "quota": share.share,
        "quota_choice": tune.told(share),
        **_weight(plan, data, retriever, keep, questions, progress),
    }
    return Chosen(settings, tuple(drafts))


def text_index(store: Store, items: list[Item], progress: Progress) -> Artifact:
    """The live text index of exactly this catalogue, built when there is none. It descends from no person's rows."""
    digest = hashlib.sha256(json.dumps([(i.id, *_text(i)) for i in items]).encode()).hexdigest()
    with store.reading() as unit:
        found = artifacts.live(unit, "text-index", "minilm")
    if found is not None and found.settings.get("catalogue") == digest:
        return found
    from retrieval.embeddings import TextEncoder, embed_items  # slow to import, rarely needed

    with progress("embed item texts") as bar:
        vectors = embed_items(TextEncoder.load(), items)
        bar(len(items), len(items))
    index = TextIndex.build(tuple(item.id for item in items), vectors)
    origin = Origin(0, Scope.NONE, settings={"catalogue": digest, "model": "all-MiniLM-L6-v2"})
    made = draft(store, "text-index", "minilm", index.save, origin)
    with store.writing() as unit:
        (registered,) = switch(unit, [made])
        unit.commit()
    return registered


def _text(item: Item) -> tuple[Any, ...]:
    return item.title, item.year, list(item.genres), item.description


def _warm(questions: HeldOut) -> HeldOut:
    warm = questions.take(questions.warm)
    if not len(warm.people):
        raise LetheError("nobody has validation rows beside training rows; ingest more interactions")
    return warm


def _refit(plan: Plan, data: Data, chosen: Chosen, seed: int, progress: Progress) -> Backbone:
    with progress(f"fit {plan.backbone} on all rows") as bar:
        return models.refit(plan.backbone, data.log, chosen.settings["backbone"], seed=seed, progress=bar)


def _measured(
    store: Store,
    plan: Plan,
    data: Data,
    model: Backbone,
    questions: HeldOut,
    categories: Categories,
    progress: Progress,
) -> list[Draft]:
    if plan.filter != "diversity":
        return []
    with progress("measure hit rates by category") as bar:
        matrix = HitRateFitter(seed=plan.seed).fit(model, questions, categories, progress=bar)
    write = partial(_save_as, matrix.save, models.HIT_RATE)
    return [draft(store, "hit-rate", plan.backbone, write, Origin(data.epoch, Scope.ALL, seed=plan.seed))]


def _serving_attention(
    store: Store, plan: Plan, data: Data, text: TextIndex, seed: int, progress: Progress
) -> list[Draft]:
    if plan.filter != "attention":
        return []
    with progress("train the attention filter") as bar:
        inputs = text.vectors(np.arange(len(text.items)))
        weights = AttentionFitter(seed=seed).fit(inputs, data.log.histories(), progress=bar)
    write = partial(_save_as, weights.save, models.ATTENTION)
    return [draft(store, "attention", plan.backbone, write, Origin(data.epoch, Scope.ALL, seed=seed))]


def _save_as(save: Callable[[Path], object], name: str, folder: Path) -> None:
    save(folder / name)


def _tuning_filter(
    plan: Plan, data: Data, training: InteractionLog, text: TextIndex, where: dict[str, Path]
) -> HistoryFilter:
    weights = None
    if plan.filter == "attention":
        inputs = text.vectors(np.arange(len(text.items)))
        weights = AttentionFitter(seed=plan.seed).fit(inputs, training.histories())
    return models.history_filter(plan.filter, data.items, text, where, attention=weights)


def _weight(
    plan: Plan, data: Data, retriever: Retriever, keep: HistoryFilter, questions: HeldOut, progress: Progress
) -> dict[str, Any]:
    if plan.scorer == "off":
        return {"weight": 0.0, "weight_choice": None}
    scorer = models.scorer(plan)
    asked = tune.asked(data.items, retriever, keep, questions, plan)
    with progress(f"choose the weight of {plan.model}") as bar:
        choice = tune.weight(asked, scorer, plan, progress=bar)
    return {"weight": choice.weight, "weight_choice": tune.told(choice)}


def _register(
    store: Store, plan: Plan, data: Data, settings: dict[str, Any], drafts: list[Draft], text: Artifact
) -> Trained:
    """Register the parts and the settings that hold them together in one transaction: a set is never mixed."""
    origin = Origin(data.epoch, Scope.ALL, seed=plan.seed, settings=settings)
    last = draft(store, "settings", plan.backbone, partial(_write_settings, settings), origin)
    with store.writing() as unit:
        parts = switch(unit, drafts)
        parents = (*(part.id for part in parts), text.id)
        (kept,) = switch(unit, [replace(last, origin=replace(origin, parents=parents))])
        unit.commit()
    return Trained(parts[0], settings, (*parts, text, kept))


def _write_settings(settings: dict[str, Any], folder: Path) -> None:
    files.write_json(folder / SETTINGS, settings)
