"""Trains one consistent set: settings chosen on validation rows, frozen, then everything refitted on all rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db import artifacts
from db.records import Verdict
from db.store import Store
from pipelines import models
from pipelines.concepts import tokens
from pipelines.config import Plan
from pipelines.generations import Draft, checked_folder, fresh_seed, sweep
from pipelines.training import shards, verdicts
from pipelines.training.choose import Chosen, choose
from pipelines.training.job import Progress, RowsChangedError, Training, quiet
from pipelines.training.read import read, text_index
from pipelines.training.register import Trained, register
from pipelines.training.shards import Resharded
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
    shards: Resharded | None = None
    """Of a model in shards: which of them are new."""


Audit = Callable[[Ready], list[Verdict]]
"""Audits a model before it is registered, beside the generation that it replaces."""


def train(store: Store, plan: Plan, *, progress: Progress = quiet) -> Trained:
    """Build a whole new set beside the old one and switch to it in one transaction.

    Raises StoreBusyError while another command maintains the root, and LetheError when there is nothing to train on.
    """
    with store.maintaining():
        sweep(store)
        made = build(store, plan, progress=progress)
        tokens.again(store, progress)
        sweep(store)
    return made


def build(
    store: Store, plan: Plan, *, progress: Progress = quiet, ready: Ready | None = None, audit: Audit | None = None
) -> Trained:
    """The same for a caller that maintains the root already; `ready` is a backbone that needs no fit (a downdate).

    What `audit` finds is kept in the settings of the backbone.
    """
    data = read(store)
    if ready is not None and ready.epoch != data.epoch:
        raise RowsChangedError("rows changed while the backbone was made; run the same command again")
    text = text_index(store, data.items, progress)
    seed = seed_of(store, plan)
    job = Training(store, plan, data, TextIndex.load(checked_folder(store.root, text)), progress, seed)
    resharded = ready.shards if ready else None
    chosen = choose(job, frozen=ready.frozen if ready else None, tuning=resharded.tuning if resharded else None)
    made = ready or _refit(job, chosen)
    found = {verdicts.AUDITS: verdicts.kept(audit(made))} if audit else {}
    drafts = [
        job.draft("backbone", made.model.save, seed=seed, settings={**_told(made), **found}),
        *shards.drafts(job, made.model, chosen.tuning, made.frozen, resharded),
        job.draft("popularity", PopularityFitter().fit(data.log).save),
        *chosen.drafts,
        *serving_attention(job, seed),
    ]
    return register(job, chosen.settings, drafts, text, kept=resharded.kept if resharded else ())


def seed_of(store: Store, plan: Plan) -> int:
    """The seed of the generation that is made next."""
    with store.reading() as unit:
        return fresh_seed(plan.seed, artifacts.next_generation(unit, "backbone", plan.backbone))


def _refit(job: Training, chosen: Chosen) -> Ready:
    name, frozen = job.plan.backbone, chosen.settings["backbone"]
    with job.store.reading() as unit:
        served = artifacts.live(unit, "backbone", name)
    started = time.perf_counter()
    with job.progress(f"fit {name} on all rows") as bar:
        model = retrain(
            lambda log, own: models.refit(name, log, frozen, seed=own, progress=bar, texts=job.vectors),
            job.data.log,
            seed=job.seed,
            previous=served.seed if served else None,
        )
    return Ready(model, frozen, job.data.epoch, "retrain", time.perf_counter() - started)


def _told(made: Ready) -> dict[str, Any]:
    """What the generation says of itself."""
    how = {models.SHARDING: made.frozen[models.SHARDING]} if models.SHARDING in made.frozen else {}
    facts = shards.told(made.shards) if made.shards else {}
    return {"method": made.method, **models.told(made.model), "seconds": round(made.seconds, 4), **how, **facts}


def serving_attention(job: Training, seed: int) -> list[Draft]:
    """The attention filter, trained on every visible history, where the plan wants it."""
    if job.plan.filter != "attention":
        return []
    from retrieval.filters.attention_training import AttentionFitter  # with torch, which EASE does without

    with job.progress("train the attention filter") as bar:
        weights = AttentionFitter(seed=seed).fit(job.vectors(), job.data.log.histories(), progress=bar)
    return [job.draft_file("attention", models.ATTENTION, weights.save, seed=seed)]
