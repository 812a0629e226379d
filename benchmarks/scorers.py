"""Four ways to have one model judge 50 candidates: packed, naive pointwise, listwise, generate.

Run `python -m benchmarks.scorers [--quick] [--model NAME|PATH] [--out FILE]`. Contexts are drawn from the ml-100k
catalogue (no interactions). The scorers take turns, and the best turn of each counts: other work on the machine then
disturbs all alike and the least. CPU seconds (all threads) stand beside the wall clock for the same reason.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from db.records import Item, UserId
from llm.model import LanguageModel, load
from llm.score.base import Scorer
from llm.score.generate import GenerateScorer
from llm.score.listwise import ListwiseScorer
from llm.score.naive import NaiveScorer
from llm.score.packed import PackedScorer, canonicalise
from llm.score.questions import Questions, questions
from llm.tiny.items import read_items
from retrieval.context import Context

CANDIDATES, HISTORY, SEED = 50, 20, 20


@dataclass
class Row:
    """Cost of one scorer for one person."""

    scorer: str
    wall_s: float
    cpu_s: float
    times_packed: float = 1.0


def catalogue() -> tuple[Item, ...]:
    """The items of ml-100k from the installed RecBole, which is not imported."""
    found = find_spec("recbole")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("recbole is not installed: its ml-100k items are needed")
    return read_items(Path(found.submodule_search_locations[0]) / "dataset_example" / "ml-100k" / "ml-100k.item")


def contexts(people: int) -> list[Context]:
    """Random histories and candidates, no item in both."""
    items, draw = catalogue(), random.Random(SEED)
    chosen = [draw.sample(items, CANDIDATES + HISTORY) for _ in range(people)]
    return [Context(UserId(str(i)), tuple(c[:HISTORY]), tuple(c[HISTORY:])) for i, c in enumerate(chosen)]


def flops(model: LanguageModel, asked: Questions) -> float:
    """Multiplications and additions that packed judging of one person cannot do without, embeddings and norms apart."""
    config = model.model.config
    layers, hidden, inner = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    width = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    wide, narrow = config.num_attention_heads * width, config.num_key_value_heads * width
    keys_values, queries, feed = 2 * hidden * narrow, 2 * hidden * wide, 3 * hidden * inner
    prefix, lengths = len(asked.prefix), [len(suffix) for suffix in asked.suffixes]
    seen = prefix * (prefix + 1) / 2 + sum(n * prefix + n * (n + 1) / 2 for n in lengths)
    seen_at_ends = sum(prefix + n for n in lengths)
    body = asked.tokens * (keys_values + queries + feed) + 2 * wide * seen
    last = asked.tokens * keys_values + len(lengths) * (queries + feed) + 2 * wide * seen_at_ends
    total: float = 2.0 * ((layers - 1) * body + last)
    return total


def peak(dtype: torch.dtype = torch.float32, device: str = "cpu") -> float:
    """Floating-point operations a second in a large matrix product, the best of several."""
    square = torch.randn(1536, 1536, dtype=dtype, device=device)
    return 2.0 * 1536 * 1536 * 1536 / min(seconds(lambda: square @ square)[0] for _ in range(20))


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_turns(scorers: Sequence[tuple[Scorer, Sequence[Context]]], rounds: int) -> list[Row]:
    """The best of several turns for each scorer, seconds a person; the packed scorer comes first."""
    taken: dict[str, list[tuple[float, float]]] = {scorer.name: [] for scorer, _ in scorers}
    for _ in range(rounds):
        for scorer, people in scorers:
            wall, cpu = seconds(lambda scorer=scorer, people=people: scorer.score(people))  # type: ignore[misc]
            taken[scorer.name].append((wall / len(people), cpu / len(people)))
    rows = [Row(name, min(w for w, _ in took), min(c for _, c in took)) for name, took in taken.items()]
    for row in rows:
        row.times_packed = row.wall_s / rows[0].wall_s
    return rows


def show(rows: Sequence[Row], notes: dict[str, Any]) -> None:
    """A small table, and the rest below it."""
    print(f"{'scorer':10} {'s a person':>11} {'CPU s':>8} {'x packed':>9}")
    for row in rows:
        print(f"{row.scorer:10} {row.wall_s:11.4f} {row.cpu_s:8.4f} {row.times_packed:9.1f}")
    for key, value in notes.items():
        print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")


def measure(model: LanguageModel, *, people: int, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """All four scorers on one model, and how far the packed scores lie from the naive ones."""
    crowd = contexts(people)
    packed, naive = PackedScorer(model), NaiveScorer(model)
    pairs = list(zip(packed.score(crowd[:2]), naive.score(crowd[:2]), strict=True))
    rows = in_turns(
        [(packed, crowd), (naive, crowd[:1]), (ListwiseScorer(model), crowd[:2]), (GenerateScorer(model), crowd[:1])],
        rounds,
    )
    asked = [canonicalise(questions(model, one)) for one in crowd]
    work, rate = float(np.mean([flops(model, one) for one in asked])), peak(model.model.dtype, str(model.device))
    return rows, {
        "model": model.name,
        "parameters": sum(weights.numel() for weights in model.model.parameters()),
        "threads": torch.get_num_threads(),
        "prefix tokens": float(np.mean([len(one.prefix) for one in asked])),
        "suffix tokens": float(np.mean([len(s) for one in asked for s in one.suffixes])),
        "largest difference, packed to naive": max(float(np.abs(a.values - b.values).max()) for a, b in pairs),
        "spread of the scores": float(np.mean([np.ptp(a.values) for a, _ in pairs])),
        "GFLOP a person": work / 1e9,
        "GFLOP/s of a matrix product": rate / 1e9,
        "floor, s a person": work / rate,
        "packed over floor": rows[0].wall_s * rate / work,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", default="lethe-tiny")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    people, rounds = (2, 1) if arguments.quick else (8, 4)
    rows, notes = measure(load(arguments.model), people=people, rounds=rounds)
    show(rows, notes)
    if arguments.out:
        arguments.out.write_text(json.dumps({"rows": [asdict(row) for row in rows], **notes}, indent=1))


if __name__ == "__main__":
    main()
