"""The generative recommender beside popularity and RecBole's SASRec on ml-100k, leave-last-out.

    python -m benchmarks.semantic_ids [--quick] [--seeds N] [--quantiser kmeans|rqvae] [--earlier FILE ...]
                                      [--sasrec windows|prefixes|off] [--out FILE]

Of each history the last item is the question and the last but one chooses the epoch; what was met before is not
offered. Trained without both, nothing is refitted. Equal seeds give equal models, so `--seeds` is the spread of runs.
SASRec (benchmarks.recbole_sasrec) has the same rows and the same evaluator, and each of its settings at most 8 minutes
of the processor; the one with the best validation is compared. What an --earlier --out holds is not trained again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import recbole_sasrec
from benchmarks.catalogue import ml100k_items
from benchmarks.datasets import ml100k
from benchmarks.recbole_sasrec import PREFIXES, SETTINGS, WINDOWS, Asked, Budget
from benchmarks.tracer import vectors
from db import files
from pipelines.evaluate.keep import FolderKeeper
from recsys.heldout import HeldOut, last_out, served
from recsys.popularity import PopularityFitter
from recsys.semantic_ids.training import SEMANTIC_SETTINGS, SemanticIdFitter
from recsys.splits import SplitRecipe

TOP = 10


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, 6 epochs; SASRec's own settings, 2 epochs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quantiser", default="kmeans")
    parser.add_argument("--earlier", type=Path, action="append", default=[], help="an earlier --out; may be repeated")
    parser.add_argument("--sasrec", choices=(WINDOWS, PREFIXES, "off"), default=WINDOWS, help="how batches are made")
    parser.add_argument("--data", help="not used: histories need timestamps")
    parser.add_argument("--texts", type=Path, default=Path("bench-out/tracer/texts"))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    """Train for each seed, print a table and write JSON."""
    asked, log = arguments(), ml100k(SplitRecipe("random"))
    rest, test = last_out(log)
    train, valid = last_out(rest)
    popular = served(PopularityFitter().fit(train), test, TOP).means()
    print(f"{'model':<28}{'NDCG@10':>9}{'HR@10':>9}{'epoch':>7}{'seconds':>9}")
    print(_line("popularity", popular, 0, 0.0), flush=True)
    held = [json.loads(path.read_text(encoding="utf-8")) for path in asked.earlier]
    rivals = [one for part in held for one in part.get("sasrec", [])]
    runs = [one for part in held for one in part["runs"]]
    if not rivals and asked.sasrec != "off":
        rivals = _sasrec(asked, Asked(log, train, valid, test))
    runs = runs or _generative(asked, (train, valid, test))
    document = {"popularity": popular, "sasrec": rivals, "runs": runs, "quick": asked.quick, **_compared(runs, rivals)}
    if runs:
        values = [run["ndcg@10"] for run in runs]
        document["over_popularity"] = float(np.mean(values)) / popular["ndcg@10"]
        document["spread"] = (max(values) - min(values)) / float(np.mean(values))
        print(
            f"over popularity {document['over_popularity']:.2f}, spread of runs {document['spread']:.1%} of their mean"
        )
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(asked.out, document)


def _sasrec(asked: argparse.Namespace, rows: Asked) -> list[dict[str, Any]]:
    """SASRec with each of its settings."""
    budget = Budget(epochs=2, evaluate_every=2) if asked.quick else Budget()
    found = []
    for name in list(SETTINGS)[: 1 if asked.quick else None]:
        one = recbole_sasrec.run(rows, asked.sasrec, SETTINGS[name], seed=0, budget=budget)
        found.append({"settings": name, **one})
        ended = f", ended by {one['limited_by']}" if one["limited_by"] else ""
        print(_line(f"SASRec, {name}", one, one["epoch"], one["seconds"]) + ended, flush=True)
    return found


def _generative(asked: argparse.Namespace, rows: tuple[Any, HeldOut, HeldOut]) -> list[dict[str, Any]]:
    """The generative recommender with each seed."""
    settings = replace(SEMANTIC_SETTINGS, quantiser=asked.quantiser)
    settings = replace(settings, epochs=6, evaluate_every=6) if asked.quick else settings
    texts = vectors(FolderKeeper(asked.texts), tuple(ml100k_items(rows[0].items)))
    runs: list[dict[str, Any]] = []
    for seed in range(min(1, asked.seeds) if asked.quick else asked.seeds):
        runs.append(_run(settings, rows, texts, seed))
        print(_line(f"{asked.quantiser}, seed {seed}", runs[-1], runs[-1]["epoch"], runs[-1]["seconds"]), flush=True)
    return runs


def _compared(runs: list[dict[str, Any]], rivals: list[dict[str, Any]]) -> dict[str, Any]:
    """The generative recommender's mean NDCG@10 over that of SASRec, as validation chose its settings."""
    if not runs or not rivals:
        return {}
    best = max(rivals, key=lambda one: float(one["valid"]))
    ratio = float(np.mean([run["ndcg@10"] for run in runs])) / best["ndcg@10"]
    print(f"over SASRec ({best['settings']}) {ratio:.3f}")
    return {"over_sasrec": ratio, "sasrec_settings": best["settings"]}


def _run(settings: Any, rows: tuple[Any, HeldOut, HeldOut], texts: Any, seed: int) -> dict[str, Any]:
    train, valid, test = rows
    started, cpu = time.perf_counter(), time.process_time()
    made = SemanticIdFitter(settings).fit(train, texts, seed=seed, validation=valid)
    seconds, busy = time.perf_counter() - started, time.process_time() - cpu
    found = served(made.backbone, test, TOP).means()
    told = made.backbone.settings()
    return {**found, "epoch": made.epoch, "seconds": seconds, "cpu_seconds": busy, "curve": made.curve, **told}


def _line(name: str, found: dict[str, Any], epoch: int, seconds: float) -> str:
    return f"{name:<28}{found['ndcg@10']:>9.4f}{found['hit_rate@10']:>9.4f}{epoch:>7}{seconds:>9.0f}"


if __name__ == "__main__":
    main()
