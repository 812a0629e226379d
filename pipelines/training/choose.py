"""What validation rows decide: the backbone's settings, the quota of text neighbours, the model's weight."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.log import InteractionLog
from db.records import Split
from pipelines import models, tune
from pipelines.generations import Draft, fresh_seed
from pipelines.training.job import NothingToTrainError, Training
from recsys.candidates import Backbone
from recsys.heldout import HeldOut, held_out
from recsys.popularity import PopularityFitter
from retrieval.categories import categories_of
from retrieval.filters.base import HistoryFilter
from retrieval.filters.hit_rate import HitRateFitter
from retrieval.retrieve import Retriever, Source

TUNING = 1
"""What a generation's seed is derived for where sub-models of the training rows are kept beside those of all rows."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A backbone of the training rows, and the settings that it was fitted with."""

    model: Backbone
    frozen: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What validation rows decided, the filter that was measured on the way, and the model they were asked of."""

    settings: dict[str, Any]
    drafts: tuple[Draft, ...]
    tuning: Backbone


def choose(job: Training, *, frozen: dict[str, Any] | None = None, tuning: Tuning | None = None) -> Chosen:
    """Fit on training rows and choose on validation rows: the backbone's settings, the quota, the model's weight.

    With `frozen` the backbone's settings are kept as they are, and only the others are chosen; with `tuning` nothing
    is fitted.
    """
    plan, log = job.plan, job.data.log
    training, questions = log.only(Split.TRAIN), _warm(held_out(log, Split.VALID))
    tuning = tuning or _tuned(job, training, questions, frozen)
    model, frozen = tuning.model, tuning.frozen
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
    return Chosen(settings, tuple(drafts), model)


def _tuned(job: Training, training: InteractionLog, questions: HeldOut, frozen: dict[str, Any] | None) -> Tuning:
    """Where the plan wants shards, epochs are chosen for one model of all rows, and the shards are then fitted so."""
    plan, sharding, seed = job.plan, models.sharding_of(job.plan), job.plan.seed
    with job.progress(f"choose {plan.backbone} on validation rows") as bar:
        if frozen is None:
            model, frozen = models.choose(
                plan.backbone, job.data.log, questions, seed=seed, progress=bar, texts=job.vectors
            )
            if sharding is None:
                return Tuning(model, frozen)
            frozen, seed = {**frozen, models.SHARDING: sharding}, fresh_seed(job.seed, TUNING)
        made = models.refit(plan.backbone, training, frozen, seed=seed, progress=bar, texts=job.vectors)
        return Tuning(made, frozen)


def _warm(questions: HeldOut) -> HeldOut:
    warm = questions.take(questions.warm)
    if not len(warm.people):
        raise NothingToTrainError("nobody has validation rows beside training rows; ingest more interactions")
    return warm


def _measured(job: Training, model: Backbone, questions: HeldOut) -> list[Draft]:
    if job.plan.filter != "diversity":
        return []
    categories = categories_of(job.data.items, job.vectors(), seed=models.CATEGORY_SEED)
    with job.progress("measure hit rates by category") as bar:
        matrix = HitRateFitter(seed=job.plan.seed).fit(model, questions, categories, progress=bar)
    return [job.draft_file("hit-rate", models.HIT_RATE, matrix.save, seed=job.plan.seed)]


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
