"""Trains one consistent set: settings chosen on validation rows, frozen, then everything refitted on all rows."""

import time
from dataclasses import dataclass
from typing import Any

from db import artifacts
from db.store import Store
from pipelines import models
from pipelines.config import Plan
from pipelines.generations import Draft, checked_folder, fresh_seed, sweep
from pipelines.training.choose import Chosen, choose
from pipelines.training.job import Progress, RowsChangedError, Training, quiet
from pipelines.training.read import read, text_index
from pipelines.training.register import Trained, register
from recsys.candidates import Backbone
from recsys.popularity import PopularityFitter
from retrieval.text import TextIndex
from unlearning.data.retrain import retrain


@dataclass(frozen=True, slots=True)
class Ready:
    """A backbone that was made otherwise than by a fit, from the rows of `epoch`, with the settings it keeps."""

    model: Backbone
    frozen: dict[str, Any]
    epoch: int
    method: str
    seconds: float


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
        *serving_attention(job, seed),
    ]
    return register(job, chosen.settings, drafts, text)


def _refit(job: Training, chosen: Chosen, seed: int, previous: int | None) -> Backbone:
    name, frozen = job.plan.backbone, chosen.settings["backbone"]
    with job.progress(f"fit {name} on all rows") as bar:
        return retrain(
            lambda log, own: models.refit(name, log, frozen, seed=own, progress=bar),
            job.data.log,
            seed=seed,
            previous=previous,
        )


def serving_attention(job: Training, seed: int) -> list[Draft]:
    """The attention filter, trained on every visible history, where the plan wants it."""
    if job.plan.filter != "attention":
        return []
    from retrieval.filters.attention_training import AttentionFitter  # with torch, which EASE does without

    with job.progress("train the attention filter") as bar:
        weights = AttentionFitter(seed=seed).fit(job.vectors(), job.data.log.histories(), progress=bar)
    return [job.draft_file("attention", models.ATTENTION, weights.save, seed=seed)]
