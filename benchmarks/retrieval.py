"""Retrieval on ml-100k: rates, how to search with exclusions, how to ask by text, and recall@50 of each retrieval.

    python -m benchmarks.retrieval [--quick] [--split random|temporal] [--out FILE]

Every choice (text query, quota, λ of EASE) is made on validation rows; recall@50 is then of test rows, histories of
training rows only, training and validation items excluded. `--quick` leaves LightGCN out.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.catalogue import ml100k_items
from benchmarks.datasets import ml100k
from db.log import InteractionLog
from db.records import Split
from recsys.candidates import Backbone, FloatArray, IntArray
from recsys.ease import EaseFitter, choose_lambda
from recsys.heldout import HeldOut, held_out
from recsys.metrics import evaluate, paired_bootstrap
from recsys.popularity import PopularityFitter
from recsys.recbole_models import LIGHTGCN_SETTINGS, RecBoleFitter
from recsys.splits import SplitRecipe
from recsys.topk import top_k
from retrieval.embeddings import TextEncoder, embed_items
from retrieval.index import ItemIndex
from retrieval.quota import choose_quota
from retrieval.retrieve import Retriever, Source, origins
from retrieval.text import TextIndex, centred

K = 50


def timed(action: Callable[[], object], repeat: int = 5) -> float:
    """Seconds of the fastest of `repeat` runs."""
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        took.append(time.perf_counter() - start)
    return min(took)


def search_ways(items: int, dimension: int, people: int, excluded: int) -> dict[str, float]:
    """Milliseconds a person for three ways to search 50 deep with exclusions that differ by person."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((items, dimension)).astype(np.float32)
    queries = rng.standard_normal((people, dimension)).astype(np.float32)
    shut = [rng.choice(items, excluded, replace=False) for _ in range(people)]
    index = faiss.IndexFlatIP(dimension)
    index.add(vectors)
    parameters: Any = faiss.SearchParameters

    def batch() -> None:
        for query, rows in zip(queries, shut, strict=True):
            selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(rows))
            index.search(query[None], K + 1, params=parameters(sel=selector))

    ways = {
        "bitmap (ItemIndex)": lambda: ItemIndex.build(vectors).search(queries, shut, K),
        "not-batch selector": batch,
        "dense, masked": lambda: top_k(queries @ vectors.T, shut, K),
    }
    return {name: timed(way) / people * 1e3 for name, way in ways.items()}


def recall(rows: list[IntArray], asked: HeldOut) -> Any:
    """Recall@50 of each person."""
    return evaluate(rows, asked.relevant, K).recall


def text_queries(vectors: FloatArray, asked: HeldOut) -> dict[str, float]:
    """Validation recall@50 of each way to ask by text; warm people only."""
    unit = {"plain": vectors, "centred": centred(vectors)}
    ways: dict[str, Callable[[FloatArray, IntArray], FloatArray]] = {
        "mean of all": lambda v, h: v @ v[h].mean(axis=0),
        "mean of last 10": lambda v, h: v @ v[h[-10:]].mean(axis=0),
        "mean of last 20": lambda v, h: v @ v[h[-20:]].mean(axis=0),
        "max over all": lambda v, h: (v @ v[h].T).max(axis=1),
        "max over last 20": lambda v, h: (v @ v[h[-20:]].T).max(axis=1),
        "log-sum-exp, 5": lambda v, h: np.log(np.exp(5 * (v @ v[h].T)).sum(axis=1)),
    }
    found = {}
    for kind, v in unit.items():
        for name, way in ways.items():
            scores = np.stack([way(v, h) for h in asked.histories]).astype(np.float32)
            found[f"{kind}, {name}"] = float(recall([c.rows for c in top_k(scores, asked.exclude, K)], asked).mean())
    return found


def backbones(log: InteractionLog, validation: HeldOut, *, quick: bool) -> list[Backbone]:
    """EASE with λ chosen, and LightGCN with its epoch chosen."""
    settings, _ = choose_lambda(log.only(Split.TRAIN), validation)
    fitted: list[Backbone] = [EaseFitter(settings).fit(log.only(Split.TRAIN))]
    if not quick:
        fitter = RecBoleFitter(LIGHTGCN_SETTINGS)
        fitted.append(fitter.fit(log.only(Split.TRAIN), seed=1, validation=validation).backbone)
    return fitted


def compare(backbone: Backbone, text: TextIndex, log: InteractionLog) -> dict[str, Any]:
    """Quota chosen on validation, then recall@50 of the three retrievals on test rows, all people."""
    popular = PopularityFitter().fit(log.only(Split.TRAIN))
    asked, test = held_out(log, Split.VALID), held_out(log, Split.TEST)
    lead, near = (
        [c.rows for c in Retriever(backbone, text, popular, source=s).candidates(asked.histories, asked.exclude, K)]
        for s in (Source.BACKBONE, Source.TEXT)
    )
    choice = choose_quota(lead, near, asked.relevant, k=K)
    row: dict[str, Any] = {"quota": choice.share, "quota curve": {str(s): r for s, r in choice.recall.items()}}
    values = {}
    for source, share in ((Source.BACKBONE, 0.0), (Source.TEXT, 0.0), (Source.HYBRID, choice.share)):
        found = Retriever(backbone, text, popular, share, source).candidates(test.histories, test.exclude, K)
        values[source] = recall([c.rows for c in found], test)
        row[source.value] = {"recall@50": float(values[source].mean()), "origins": origins(found)}
    gain = paired_bootstrap(values[Source.HYBRID], values[Source.BACKBONE], seed=0)
    row["hybrid - backbone"] = [gain.mean, gain.low, gain.high]
    row["people"], row["cold people"] = len(test.people), int((~test.warm).sum())
    return row


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--split", default="random", choices=["random", "temporal"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    log = ml100k(SplitRecipe(asked.split))
    items = ml100k_items(log.items)
    encoder = TextEncoder.load()
    start = time.perf_counter()
    vectors = embed_items(encoder, items)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {"split": asked.split, "embed": {"items": len(items), "seconds": seconds}}
    result["search ms a person"] = {
        "1,682 items, d 64": search_ways(1682, 64, 300, 106),
        "3,706 items, d 64": search_ways(3706, 64, 300, 165),
        "1,682 items, d 384": search_ways(1682, 384, 300, 106),
    }
    validation = held_out(log, Split.VALID)
    warm = validation.take(validation.warm)
    result["text query, validation recall@50"] = text_queries(vectors, warm)
    text = TextIndex.build(log.items, vectors)
    for backbone in backbones(log, warm, quick=asked.quick):
        result[backbone.name] = compare(backbone, text, log)
    print(json.dumps(result, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
