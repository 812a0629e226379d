"""The generative recommender beside popularity on ml-100k, leave-last-out.

    python -m benchmarks.semantic_ids [--quick] [--seeds N] [--quantiser kmeans|rqvae] [--out FILE]

Of each history the last item is the question and the last but one chooses the epoch; what was met before is not
offered. Trained without both, nothing is refitted. Equal seeds give equal models, so `--seeds` is the spread of runs.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.catalogue import ml100k_items
from benchmarks.datasets import ml100k
from benchmarks.tracer import vectors
from db import files
from pipelines.evaluate.keep import FolderKeeper
from pipelines.evaluate_tracer.data import last_out
from recsys.heldout import HeldOut, served
from recsys.popularity import PopularityFitter
from recsys.semantic_ids.training import SEMANTIC_SETTINGS, SemanticIdFitter
from recsys.splits import SplitRecipe

TOP = 10


def main() -> None:
    """Train for each seed, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, 6 epochs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quantiser", default="kmeans")
    parser.add_argument("--data", help="not used: histories need timestamps")
    parser.add_argument("--texts", type=Path, default=Path("bench-out/tracer/texts"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rest, test = last_out(ml100k(SplitRecipe("random")))
    train, valid = last_out(rest)
    settings = replace(SEMANTIC_SETTINGS, quantiser=asked.quantiser)
    settings = replace(settings, epochs=6, evaluate_every=6) if asked.quick else settings
    texts = vectors(FolderKeeper(asked.texts), tuple(ml100k_items(train.items)))
    popular = served(PopularityFitter().fit(train), test, TOP).means()
    print(f"{'model':<24}{'NDCG@10':>9}{'HR@10':>9}{'epoch':>7}{'seconds':>9}")
    print(_line("popularity", popular, 0, 0.0))
    runs: list[dict[str, Any]] = []
    for seed in range(1 if asked.quick else asked.seeds):
        runs.append(_run(settings, (train, valid, test), texts, seed))
        print(_line(f"{asked.quantiser}, seed {seed}", runs[-1], runs[-1]["epoch"], runs[-1]["seconds"]), flush=True)
    values = [run["ndcg@10"] for run in runs]
    mean = float(np.mean(values))
    document = {
        "popularity": popular,
        "runs": runs,
        "over_popularity": mean / popular["ndcg@10"],
        "spread": (max(values) - min(values)) / mean,
        "quick": asked.quick,
    }
    print(f"over popularity {document['over_popularity']:.2f}, spread of runs {document['spread']:.1%} of their mean")
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(asked.out, document)


def _run(settings: Any, rows: tuple[Any, HeldOut, HeldOut], texts: Any, seed: int) -> dict[str, Any]:
    train, valid, test = rows
    started, cpu = time.perf_counter(), time.process_time()
    made = SemanticIdFitter(settings).fit(train, texts, seed=seed, validation=valid)
    seconds, busy = time.perf_counter() - started, time.process_time() - cpu
    found = served(made.backbone, test, TOP).means()
    told = made.backbone.settings()
    return {**found, "epoch": made.epoch, "seconds": seconds, "cpu_seconds": busy, "curve": made.curve, **told}


def _line(name: str, found: dict[str, Any], epoch: int, seconds: float) -> str:
    return f"{name:<24}{found['ndcg@10']:>9.4f}{found['hit_rate@10']:>9.4f}{epoch:>7}{seconds:>9.0f}"


if __name__ == "__main__":
    main()
