"""History filters at equal length on ml-100k, against random: what each keeps, measured by the backbone alone.

    python -m benchmarks.filters [--quick] [--seeds N] [--backbone ease|lightgcn] [--out FILE]

For people with more than L training rows the backbone serves them from the L rows a filter kept, and NDCG@10 of test
rows is compared with random rows (paired bootstrap over people, values averaged over seeds first). Candidates given
to the filters are the backbone's 50 from the whole history. Filters are fitted on training and validation rows only.
What the rows do for the language model is measured with the language model, not here.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.catalogue import ml100k_items
from benchmarks.datasets import ml100k
from db.log import InteractionLog
from db.records import Split
from recsys.candidates import Backbone, IntArray
from recsys.ease import EaseFitter, choose_lambda
from recsys.heldout import HeldOut, held_out
from recsys.metrics import evaluate, paired_bootstrap
from recsys.recbole_models import LIGHTGCN_SETTINGS, RecBoleFitter
from recsys.splits import SplitRecipe
from retrieval.categories import categories_of
from retrieval.embeddings import TextEncoder, embed_items
from retrieval.filters.attention import Attention
from retrieval.filters.attention_training import AttentionFitter, AttentionSettings
from retrieval.filters.base import HistoryFilter
from retrieval.filters.controls import Random, Recent, Whole
from retrieval.filters.diversity import Diversity
from retrieval.filters.hit_rate import HitRateFitter
from retrieval.filters.preference import Preference
from retrieval.text import centred

LENGTHS = (10, 20, 50)


def fitted(log: InteractionLog, backbone: Backbone, times: dict[str, float]) -> list[HistoryFilter]:
    """Every filter, and the attention as it is before training."""
    items = ml100k_items(log.items)
    vectors = embed_items(TextEncoder.load(), items)
    inputs, categories = centred(vectors), categories_of(items, vectors, seed=0)
    histories = log.only(Split.TRAIN).histories()
    asked = held_out(log, Split.VALID)
    start = time.perf_counter()
    matrix = HitRateFitter(people=150).fit(backbone, asked.take(asked.warm), categories)
    times["hit-rate matrix"] = time.perf_counter() - start
    start = time.perf_counter()
    trained = Attention(AttentionFitter(seed=1).fit(inputs, histories), inputs)
    times["attention"] = time.perf_counter() - start
    untrained = Attention(AttentionFitter(AttentionSettings(epochs=0), seed=1).fit(inputs, histories), inputs)
    untrained.name = "attention, untrained"
    return [Random(), Recent(), Whole(), Preference(categories), Diversity(categories, matrix), trained, untrained]


def served(backbone: Backbone, asked: HeldOut, offered: Sequence[IntArray], subject: HistoryFilter, run: Any) -> Any:
    """NDCG@10 of each person from the kept rows, averaged over seeds. `run` is (length, seeds)."""
    length, seeds = run
    values = []
    for seed in range(seeds):
        kept = [
            h[subject.select(h, c, length, seed=1000 * seed + person)]
            for person, (h, c) in enumerate(zip(asked.histories, offered, strict=True))
        ]
        lists = [found.rows for found in backbone.candidates(kept, asked.exclude, 10)]
        values.append(evaluate(lists, asked.relevant, 10).ndcg)
    return np.mean(values, axis=0)


def compare(backbone: Backbone, log: InteractionLog, filters: Sequence[HistoryFilter], seeds: int) -> dict[str, Any]:
    """NDCG@10 at each length, and its difference to random with a 95% interval."""
    table: dict[str, Any] = {}
    test = held_out(log, Split.TEST)
    for length in LENGTHS:
        asked = test.take(np.array([len(h) > length for h in test.histories]))
        offered = [c.rows for c in backbone.candidates(asked.histories, asked.exclude, 50)]
        base = served(backbone, asked, offered, filters[0], (length, 3 * seeds))
        table[f"L={length}"] = {"people": len(asked.people), "random": float(base.mean())}
        for subject in filters[1:]:
            drawn = subject.name in ("preference", "diversity")
            values = served(backbone, asked, offered, subject, (length, seeds if drawn else 1))
            gain = paired_bootstrap(values, base, seed=0)
            table[f"L={length}"][subject.name] = [float(values.mean()), gain.mean, gain.low, gain.high]
            print(
                f"L={length:<3} {subject.name:22} {values.mean():.4f}  "
                f"vs random {base.mean():.4f}: {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]",
                flush=True,
            )
    return table


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbone", default="ease", choices=["ease", "lightgcn"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    log = ml100k(SplitRecipe())
    train, validation = log.only(Split.TRAIN), held_out(log, Split.VALID)
    backbone: Backbone
    if asked.backbone == "ease":
        backbone = EaseFitter(choose_lambda(train, validation)[0]).fit(train)
    else:
        backbone = RecBoleFitter(LIGHTGCN_SETTINGS).fit(train, seed=1, validation=validation).backbone
    times: dict[str, float] = {}
    filters = fitted(log, backbone, times)
    print(" ".join(f"{name} fitted in {seconds:.1f} s" for name, seconds in times.items()), flush=True)
    table = compare(backbone, log, filters, 1 if asked.quick else asked.seeds)
    result = {"backbone": backbone.name, "seconds": times, "ndcg@10": table}
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
