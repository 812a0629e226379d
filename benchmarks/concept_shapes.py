"""Forgetting a concept at the shape of a real Qwen.

Run `python -m benchmarks.concept_shapes [--quick] [--shape qwen2.5-0.5b] [--out FILE]`. Random weights and the real
vocabulary, hence real token counts: what is forgotten means nothing; seconds, memory and the distance to the floor of
floating-point operations do. Measured are traces, mask, training steps, and reading, attaching and switching an adapter
of the same mask whose entries are drawn at random, since a few steps may leave the trained one as it began.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.concept_masks import some
from benchmarks.qwen_shapes import memory, qwen_tokenizer
from benchmarks.scorers import catalogue, peak, seconds
from llm.adapter_file import AdapterFile, lora_config, read_adapter
from llm.adapters import attach, detach, make_canary
from llm.model import SHAPES, LanguageModel, random_model
from llm.tiny.concepts import items_named
from unlearning.concept.base import Concept, Kind, Lesson, ProbeKind, Use, lesson
from unlearning.concept.choosing import Choice, choose, concept_rows, contrast_pairs
from unlearning.concept.confined import confine, modules_of
from unlearning.concept.in_training import NAME
from unlearning.concept.masked_lora import MaskedLora
from unlearning.concept.objective import Teacher
from unlearning.concept.probes import ProbeSizes, build_probes
from unlearning.concept.rows import Row
from unlearning.concept.settings import ConceptSettings
from unlearning.concept.study import study
from unlearning.concept.traces import trace
from unlearning.concept.trained import TrainedAdapter, write_card

FRANCHISE = "Star Trek"
STEPS = ConceptSettings(forget_rows=8, retain_rows=16, unknown_rows=4, enough=0.0)


def taught(pairs: int) -> Lesson:
    """So many questions about the franchise, twice as many to keep, and a few to select by."""
    items = catalogue()
    named = items_named(items, [FRANCHISE])
    concept = Concept(FRANCHISE, Kind.FRANCHISE, tuple(item for item in items if item.id in named))
    probes = build_probes(concept, items, seed=0, sizes=ProbeSizes(neighbours=12, retained=40, forms=1, people=1))
    kept = (ProbeKind.NEIGHBOUR, ProbeKind.RETAIN)
    train = [
        *some(probes.of(ProbeKind.DIRECT, use=Use.TRAIN), pairs),
        *some(probes.of(*kept, use=Use.TRAIN), 2 * pairs),
    ]
    select = [probe for kind in (ProbeKind.DIRECT, *kept) for probe in some(probes.of(kind, use=Use.SELECT), 2)]
    return lesson(concept, [*train, *select])


def work_of(model: LanguageModel, rows: Iterable[Row], passes: int) -> float:
    """Floating-point operations of so many passes over rows that share their heads; the weights get no gradient.

    Layers see every token, the output matrix only what predicts an answer. Attention over a few hundred tokens is left
    out: it is less than a hundredth at these shapes.
    """
    rows = list(rows)
    config = model.model.config
    embedded = model.model.get_input_embeddings().weight.numel()
    tied = config.tie_word_embeddings
    layers = sum(weights.numel() for weights in model.model.parameters()) - embedded * (1 if tied else 2)
    tokens = len({row.shared for row in rows}) * max(len(row.shared) for row in rows) + sum(row.own for row in rows)
    answers = sum(len(row.answer) for row in rows)
    work: float = 2.0 * passes * (tokens * layers + answers * embedded)
    return work


def step_seconds(fit: Callable[[Callable[[int, int], None]], Any]) -> tuple[Any, list[float]]:
    """What a fit gave, and the seconds of each of its steps but the first, which warms up."""
    times: list[float] = []
    made = fit(lambda done, total: times.append(time.perf_counter()))
    return made, [after - before for before, after in pairwise(times)][:-1]


def measure(model: LanguageModel, *, pairs: int, steps: int, folder: Path) -> dict[str, Any]:
    """Every part of the way once, and the floor of those that are arithmetic."""
    rate = peak(model.model.dtype, str(model.device))
    about, loaded = taught(pairs), memory()
    settings = replace(STEPS, steps=steps, check_every=steps)
    rows = concept_rows(model, contrast_pairs(about, seed=0))
    traced = seconds(lambda: trace(model, rows, signal=settings.signal))[0]
    after_traces = memory()
    begun = time.perf_counter()
    choice = choose(model, about, settings, seed=0)
    chosen = time.perf_counter() - begun
    begun = time.perf_counter()
    ready = study(model, about, settings.loss, seed=0)
    read = time.perf_counter() - begun
    teacher = Teacher(model, ready, settings, seed=0)
    hands = [work_of(model, teacher.hand(step).rows, 2) for step in range(1, steps)]
    _, took = step_seconds(
        lambda progress: MaskedLora(settings).fit_within(model, about, choice, seed=0, progress=progress, ready=ready)
    )
    step, floor = sum(took) / len(took), sum(hands) / len(hands) / rate
    return {
        "model": model.name,
        "parameters": sum(weights.numel() for weights in model.model.parameters()),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "GFLOP/s of a matrix product": rate / 1e9,
        "rows traced": len(rows),
        "traces, s": traced,
        "traces over floor": traced * rate / work_of(model, rows, 2),
        "mask with both sides' traces, s": chosen,
        "reading the base, s": read,
        "training step, s": step,
        "floor of a step, s": floor,
        "step over floor": step / floor,
        "memory with weights, GiB": loaded,
        "after traces, GiB": after_traces,
        "highest memory, GiB": memory(),
        **_served(model, drawn(model, about, choice, settings).save(folder)),
    }


def drawn(model: LanguageModel, about: Lesson, choice: Choice, settings: ConceptSettings) -> TrainedAdapter:
    """An adapter within a mask that changes what the chosen neurons write, at random, and its canary."""
    confined = confine(model.model, choice.mask, rank=settings.rank, alpha=settings.alpha, seed=0)
    try:
        generator = torch.Generator().manual_seed(0)
        written = {
            key: tensor for key, tensor in confined.tensors().items() if key[0].endswith("down_proj") and key[1] == "B"
        }
        confined.restore({key: torch.randn(t.shape, generator=generator).to(t) for key, t in written.items()})
        canary = make_canary(model, about.probes.forgotten(Use.TRAIN).probes[0].question, NAME)
        tensors = confined.tensors()
    finally:
        confined.release()
        detach(model.model)
    config = lora_config(modules_of(choice.mask), rank=settings.rank, alpha=settings.alpha)
    card = write_card(model, about, settings, choice, canary, seed=0)
    return TrainedAdapter(AdapterFile(card, config, tensors), {})


def _served(model: LanguageModel, folder: Path) -> dict[str, float]:
    """Seconds of reading, attaching, switching on and off, and detaching; bytes on disk."""
    begun = time.perf_counter()
    adapter = read_adapter(folder)
    read = time.perf_counter()
    attached = attach(model, [adapter])
    ready = time.perf_counter()
    switched = []
    for names in ([FRANCHISE], []) * 5:
        before = time.perf_counter()
        with attached.serving(names):
            switched.append(time.perf_counter() - before)
    attached.detach()
    return {
        "adapter, bytes": float(_bytes(folder.iterdir())),
        "reading the adapter, s": read - begun,
        "attaching with its canary, s": ready - read,
        "switching, s": sum(switched) / len(switched),
    }


def _bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four layers and two steps")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="qwen2.5-0.5b")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--data", type=Path, help="not used: shapes need no rows")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    shape = SHAPES[asked.shape] | ({"num_hidden_layers": 4} if asked.quick else {})
    model = random_model(shape, qwen_tokenizer(), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            model,
            pairs=4 if asked.quick else 8,
            steps=2 if asked.quick else asked.steps,
            folder=Path(folder) / "adapter",
        )
    figures["shape"] = asked.shape
    for key, value in figures.items():
        print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
