"""From a name in the plan to the thing itself: backbone, history filter, scorer. Torch loads only when it is needed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Item, Split
from llm.prompt import SERVED, Wording
from llm.score.base import Scorer
from pipelines.config import Plan
from recsys.candidates import Backbone, FloatArray
from recsys.ease import Ease, EaseFitter, EaseSettings, choose_lambda
from recsys.heldout import HeldOut, last_out
from recsys.popularity import Popularity, PopularityFitter
from recsys.sharded import load_vectors
from recsys.vectors import ItemVectors
from retrieval.categories import categories_of
from retrieval.filters.base import HistoryFilter
from retrieval.filters.controls import Random, Recent, Whole
from retrieval.filters.diversity import Diversity
from retrieval.filters.hit_rate import HitRateMatrix
from retrieval.filters.preference import Preference
from retrieval.text import TextIndex

if TYPE_CHECKING:
    from llm.model import LanguageModel
    from recsys.recbole_models import TrainSettings
    from retrieval.filters.attention import AttentionWeights
    from unlearning.data.influence import InfluenceUnlearner
    from unlearning.data.sharding import ShardedUnlearner

Progress = Callable[[int, int], None]

HIT_RATE, ATTENTION = "hit-rate.json", "attention.safetensors"
"""File names inside the generations of these artefacts."""

GENERATIVE = "semantic-ids"
"""The backbone that speaks items as codes of their texts; it alone is fitted on text vectors too."""

Texts = Callable[[], FloatArray] | None
"""Gives the text vectors of the catalogue, [items, d], to a backbone that is made of them."""

CATEGORY_SEED = 0
"""Of the clusters that stand in for genres where a catalogue has none: the same whenever they are made."""

_CONTROLS: dict[str, Callable[[], HistoryFilter]] = {"recent": Recent, "random": Random, "none": Whole}


SHARDING = "sharding"
"""In frozen settings and in those of a backbone: how the rows are split, as `sharding_of` gives it."""


def choose(
    name: str, log: InteractionLog, questions: HeldOut, *, seed: int, progress: Progress, texts: Texts = None
) -> tuple[Backbone, dict[str, Any]]:
    """A backbone fitted on the training rows, and the settings that validation rows chose for the refit.

    The epochs of the generative recommender are chosen by what comes next: each person's last training row, which it is
    then not fitted on. Rows drawn by lot lie within histories, and a decoder that hardly knows the order guesses them
    best.
    """
    training = log.only(Split.TRAIN)
    if name == "popularity":
        return PopularityFitter().fit(training), {}
    if name == "ease":
        settings, tried = choose_lambda(training, questions, progress=progress)
        return EaseFitter(settings).fit(training), {**asdict(settings), "tried": {str(k): v for k, v in tried.items()}}
    if name == GENERATIVE:
        from recsys.semantic_ids.training import SEMANTIC_SETTINGS, SemanticIdFitter

        asked, (earlier, next_items) = SEMANTIC_SETTINGS, last_out(training)
        spoken = SemanticIdFitter(asked).fit(earlier, _told(texts), seed=seed, validation=next_items, progress=progress)
        chosen = asdict(replace(asked, epochs=spoken.epoch))
        return spoken.backbone, {**chosen, "curve": [list(point) for point in spoken.curve]}
    from recsys.recbole_models import RecBoleFitter

    wanted = _recbole_settings(name)
    trained = RecBoleFitter(wanted).fit(training, seed=seed, validation=questions, progress=progress)
    frozen = asdict(replace(wanted, epochs=trained.epoch))
    return trained.backbone, {**frozen, "curve": [list(point) for point in trained.curve]}


def sharding_of(plan: Plan) -> dict[str, Any] | None:
    """Method, number of shards, and the salt of the hash rule; None where the plan wants one model of all rows."""
    return {"method": plan.sharding, "shards": plan.shards, "salt": str(plan.seed)} if plan.shards else None


def sharded(name: str, frozen: dict[str, Any]) -> "ShardedUnlearner":
    """The method that fits the backbone in shards, and forgets by shards, as its frozen settings say.

    Partitions that are made of rows are made again with every forgetting.
    """
    from unlearning.data.grapheraser import grapheraser
    from unlearning.data.receraser import receraser
    from unlearning.data.sharding import shard_settings
    from unlearning.data.sisa import sisa

    how = frozen[SHARDING]
    plain = {key: value for key, value in frozen.items() if key != SHARDING}
    if name in ("bpr", "lightgcn"):
        plain = shard_settings(plain, how["shards"])

    def _fit(log: InteractionLog, seed: int) -> ItemVectors:
        made = refit(name, log.inhabited(), plain, seed=seed, progress=lambda done, total: None)
        if not isinstance(made, ItemVectors):
            raise LetheError(f"{name} has no item vectors to be trained in shards; train it without --shards")
        return made

    if how["method"] == "sisa":
        return sisa(_fit, shards=how["shards"], salt=how["salt"])
    method = receraser if how["method"] == "receraser" else grapheraser
    return method(_fit, shards=how["shards"], rebuild_partition=True)


def refit(
    name: str, log: InteractionLog, frozen: dict[str, Any], *, seed: int, progress: Progress, texts: Texts = None
) -> Backbone:
    """The same model on every row of `log`, with the frozen settings, which may say that it is made in shards."""
    if name == "popularity":
        return PopularityFitter().fit(log)
    if name == "ease":
        return EaseFitter(EaseSettings(frozen["regularisation"])).fit(log)
    if SHARDING in frozen:
        return sharded(name, frozen).fit(log, seed=seed, progress=progress)
    if name == GENERATIVE:
        from recsys.semantic_ids.training import SemanticIdFitter, SemanticSettings

        fitter = SemanticIdFitter(SemanticSettings.of(frozen))
        return fitter.fit(log, _told(texts), seed=seed, progress=progress).backbone
    from recsys.recbole_models import RecBoleFitter

    return RecBoleFitter(_train_settings(frozen)).fit(log, seed=seed, progress=progress).backbone


def influence(method: str, frozen: dict[str, Any]) -> "InfluenceUnlearner":
    """The influence method of this name for a backbone that was trained with the frozen settings."""
    from unlearning.data.ifru import ifru
    from unlearning.data.scif import scif

    settings = _train_settings(frozen)
    return scif(settings) if method == "scif" else ifru(settings)


def load(name: str, folder: Path) -> Backbone:
    """A saved backbone."""
    loaders: dict[str, Callable[[Path], Backbone]] = {
        "ease": Ease.load,
        "popularity": Popularity.load,
        "bpr": load_vectors,
        "lightgcn": load_vectors,
        GENERATIVE: _semantic_ids,
    }
    return loaders[name](folder)


def told(model: Backbone) -> dict[str, Any]:
    """What the model says of itself for the manifest."""
    settings = getattr(model, "settings", None)
    return dict(settings()) if callable(settings) else {}


def history_filter(
    name: str,
    items: Sequence[Item],
    text: TextIndex,
    where: dict[str, Path],
    *,
    attention: "AttentionWeights | None" = None,
) -> HistoryFilter:
    """The named filter. Raises LetheError where it needs something that was not trained."""
    if name in _CONTROLS:
        return _CONTROLS[name]()
    vectors = text.vectors(np.arange(len(text.items)))
    if name == "attention":
        from retrieval.filters.attention import Attention, AttentionWeights

        weights = attention or AttentionWeights.load(_trained(where, "attention", name) / ATTENTION)
        return Attention(weights, vectors)
    categories = categories_of(items, vectors, seed=CATEGORY_SEED)
    if name == "preference":
        return Preference(categories)
    return Diversity(categories, HitRateMatrix.load(_trained(where, "hit-rate", name) / HIT_RATE))


def scorer(plan: Plan) -> Scorer:
    """The language model behind the named scorer."""
    from llm.model import load as load_model

    return judging(plan.scorer, load_model(plan.model, device=plan.device))


def judging(name: str, model: "LanguageModel", wording: Wording = SERVED) -> Scorer:
    """The named scorer (packed, listwise or generate), asking a model in a wording."""
    if name == "packed":
        from llm.score.packed import PackedScorer

        return PackedScorer(model, wording=wording)
    if name == "listwise":
        from llm.score.listwise import ListwiseScorer

        return ListwiseScorer(model, wording=wording)
    from llm.score.generate import GenerateScorer

    return GenerateScorer(model, wording=wording)


def _told(texts: Texts) -> FloatArray:
    if texts is None:
        raise LetheError(f"backbone {GENERATIVE} is made of item texts, and none were given; run `lethe train`")
    return texts()


def _semantic_ids(folder: Path) -> Backbone:
    from recsys.semantic_ids.backbone import SemanticIds  # with torch

    return SemanticIds.load(folder)


def _train_settings(frozen: dict[str, Any]) -> "TrainSettings":
    from recsys.recbole_models import TrainSettings

    return TrainSettings(**{key: value for key, value in frozen.items() if key not in ("curve", SHARDING)})


def _recbole_settings(name: str) -> "TrainSettings":
    from recsys.recbole_models import BPR_SETTINGS, LIGHTGCN_SETTINGS

    return {"lightgcn": LIGHTGCN_SETTINGS, "bpr": BPR_SETTINGS}[name]


def _trained(where: dict[str, Path], kind: str, name: str) -> Path:
    if kind not in where:
        raise LetheError(f"filter {name} was not trained; run `lethe train --filter {name}`")
    return where[kind]
