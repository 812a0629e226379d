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
from recsys.candidates import Backbone, FloatArray
from recsys.heldout import HeldOut, held_out
from recsys.popularity import PopularityFitter
from retrieval.categories import categories_of
from retrieval.filters.base import HistoryFilter
from retrieval.filters.hit_rate import HitRateFitter
from retrieval.retrieve import Retriever, Source
from retrieval.text import TextIndex
from unlearning.data.retrain import retrain

Bar = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[Bar]]
"""Opens a progress bar under a label."""

SETTINGS = "settings.json"


class NothingToTrainError(LetheError):
    """The visible rows do not make a model: there are none, or nobody has some in both splits."""


class RowsChangedError(NotFinishedError):
    """A backbone that was made beforehand no longer fits the visible rows."""


@dataclass(frozen=True, slots=True)
class Data:
    """What one training reads, at one data epoch."""

    epoch: int
    log: InteractionLog
    items: list[Item]
    split: str
    """Hash of the recorded random split."""


@dataclass(frozen=True, slots=True)
class Training:
    """What every stage of one training shares."""

    store: Store
    plan: Plan
    data: Data
    text: TextIndex
    progress: Progress

    def origin(self, **facts: Any) -> Origin:
        """Of an artefact that descends from all visible rows."""
        return Origin(self.data.epoch, Scope.ALL, **facts)

    def draft(self, kind: str, write: Callable[[Path], object], **facts: Any) -> Draft:
        """A generation of this set."""
        return draft(self.store, kind, self.plan.backbone, write, self.origin(**facts))

    def vectors(self) -> FloatArray:
        """Text vectors of the whole catalogue."""
        return self.text.vectors(np.arange(len(self.text.items)))


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
        raise RowsChangedError("rows changed while the backbone was made; run the same command again")
    text = text_index(store, data.items, progress)
    job = Training(store, plan, data, TextIndex.load(checked_folder(store.root, text)), progress)
    chosen = choose(job, frozen=ready.frozen if ready else None)
    with store.reading() as unit:
        seed = fresh_seed(plan.seed, artifacts.next_generation(unit, "backbone", plan.backbone))
        served = artifacts.live(unit, "backbone", plan.backbone)
    started = time.perf_counter()
    model = ready.model if ready else _refit(job, chosen, seed, served.seed if served else None)
    made = {"method": ready.method if ready else "retrain", **models.told(model)}
    made["seconds"] = round(ready.seconds if ready else time.perf_counter() - started, 4)
    drafts = [
        job.draft("backbone", model.save, seed=seed, settings=made),
        job.draft("popularity", PopularityFitter().fit(data.log).save),
        *chosen.drafts,
        *_serving_attention(job, seed),
    ]
    return _register(job, chosen.settings, drafts, text)


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
        raise NothingToTrainError("there are no visible interactions to train on; run `lethe ingest` first")
    return data


def choose(job: Training, *, frozen: dict[str, Any] | None = None) -> Chosen:
    """Fit on training rows and choose on validation rows: the backbone's settings, the quota, the model's weight.

    With `frozen` the backbone's settings are kept as they are, and only the others are chosen.
    """
    plan, log = job.plan, job.data.log
    training, questions = log.only(Split.TRAIN), _warm(held_out(log, Split.VALID))
    with job.progress(f"choose {plan.backbone} on validation rows") as bar:
        if frozen is None:
            model, frozen = models.choose(plan.backbone, log, questions, seed=plan.seed, progress=bar)
        else:
            model = models.refit(plan.backbone, training, frozen, seed=plan.seed, progress=bar)
    share = tune.quota(model, job.text, questions, plan)
    drafts = _measured(job, model, questions)
    keep = _tuning_filter(job, training, {d.kind: job.store.root / d.path for d in drafts})
    popularity = PopularityFitter().fit(training)
    retriever = Retriever(model, job.text, popularity, share.share, Source(plan.retrieve))
    settings = {
        "plan": plan.model_dump(),
        "split": job.data.split,
        "backbone": frozen,
        "quota": share.share,
        "quota_choice": tune.told(share),
        **_weight(job, retriever, keep, questions),
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
        raise NothingToTrainError("nobody has validation rows beside training rows; ingest more interactions")
    return warm


def _refit(job: Training, chosen: Chosen, seed: int, previous: int | None) -> Backbone:
    name, frozen = job.plan.backbone, chosen.settings["backbone"]
    with job.progress(f"fit {name} on all rows") as bar:
        return retrain(
            lambda log, own: models.refit(name, log, frozen, seed=own, progress=bar),
            job.data.log,
            seed=seed,
            previous=previous,
        )


def _measured(job: Training, model: Backbone, questions: HeldOut) -> list[Draft]:
    if job.plan.filter != "diversity":
        return []
    categories = categories_of(job.data.items, job.vectors(), seed=models.CATEGORY_SEED)
    with job.progress("measure hit rates by category") as bar:
        matrix = HitRateFitter(seed=job.plan.seed).fit(model, questions, categories, progress=bar)
    return [job.draft("hit-rate", partial(_save_as, matrix.save, models.HIT_RATE), seed=job.plan.seed)]


def _serving_attention(job: Training, seed: int) -> list[Draft]:
    if job.plan.filter != "attention":
        return []
    from retrieval.filters.attention_training import AttentionFitter  # with torch, which EASE does without

    with job.progress("train the attention filter") as bar:
        weights = AttentionFitter(seed=seed).fit(job.vectors(), job.data.log.histories(), progress=bar)
    return [job.draft("attention", partial(_save_as, weights.save, models.ATTENTION), seed=seed)]


def _save_as(save: Callable[[Path], object], name: str, folder: Path) -> None:
    save(folder / name)


def _tuning_filter(job: Training, training: InteractionLog, where: dict[str, Path]) -> HistoryFilter:
    weights = None
    if job.plan.filter == "attention":
        from retrieval.filters.attention_training import AttentionFitter

        weights = AttentionFitter(seed=job.plan.seed).fit(job.vectors(), training.histories())
    return models.history_filter(job.plan.filter, job.data.items, job.text, where, attention=weights)


def _weight(job: Training, retriever: Retriever, keep: HistoryFilter, questions: HeldOut) -> dict[str, Any]:
    plan = job.plan
    if plan.scorer == "off":
        return {"weight": 0.0, "weight_choice": None}
    scorer = models.scorer(plan)
    asked = tune.asked(job.data.items, retriever, keep, questions, plan)
    with job.progress(f"choose the weight of {plan.model}") as bar:
        choice = tune.weight(asked, scorer, plan, progress=bar)
    return {"weight": choice.weight, "weight_choice": tune.told(choice)}


def _register(job: Training, settings: dict[str, Any], drafts: list[Draft], text: Artifact) -> Trained:
    """Register the parts and the settings that hold them together in one transaction: a set is never mixed."""
    facts = {"seed": job.plan.seed, "settings": settings}
    last = job.draft("settings", partial(_write_settings, settings), **facts)
    with job.store.writing() as unit:
        parts = switch(unit, drafts)
        parents = (*(part.id for part in parts), text.id)
        (kept,) = switch(unit, [replace(last, origin=job.origin(**facts, parents=parents))])
        unit.commit()
    return Trained(parts[0], settings, (*parts, text, kept))


def _write_settings(settings: dict[str, Any], folder: Path) -> None:
    files.write_json(folder / SETTINGS, settings)
