"""Does guidance pay? `python -m benchmarks.concept_masks [--quick] [--concept NAME] [--seeds N] [--out FILE]`.

Masks of equal size, guided and drawn at random (over all layers, and within the guided mask's layers), each trained
with the same steps on the same rows; then what is left of the concept and of everything else on held-out probes, and
what zeroing the mask alone costs.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from llm.model import LanguageModel, load
from llm.tiny.concepts import items_named
from llm.tiny.items import read_items
from unlearning.concept.base import Concept, Kind, Lesson, Probe, ProbeKind, ProbeSet, Use, lesson
from unlearning.concept.causal import causal_check
from unlearning.concept.choosing import choose
from unlearning.concept.masked_lora import MaskedLora
from unlearning.concept.probes import build_probes
from unlearning.concept.recall import recall
from unlearning.concept.settings import ConceptSettings, MaskName
from unlearning.concept.stability import stability
from unlearning.concept.study import study

ASKED = 80
KINDS = (ProbeKind.DIRECT, ProbeKind.PARAPHRASE, ProbeKind.NEIGHBOUR, ProbeKind.RETAIN)
HEADS = ("mask", "size", "draw", "steps")
MASKS = (MaskName.GUIDED, MaskName.RANDOM, MaskName.LAYERED)


def some(probes: ProbeSet, count: int, seed: int = 0) -> tuple[Probe, ...]:
    """At most so many of them, drawn once for all masks."""
    order = np.random.default_rng([seed, 31]).permutation(len(probes))[:count]
    return tuple(probes.probes[place] for place in sorted(order))


def small_lesson(concept: Concept, probes: ProbeSet) -> Lesson:
    """Facts by title alone, and a few hundred to keep: masks are compared on what they are chosen for."""
    kept = [
        *some(probes.of(ProbeKind.NEIGHBOUR, use=Use.TRAIN), 100),
        *some(probes.of(ProbeKind.RETAIN, use=Use.TRAIN), 200),
    ]
    chosen = [*some(probes.of(ProbeKind.DIRECT, use=Use.TRAIN), 150), *kept]
    select = [probe for kind in KINDS for probe in some(probes.of(kind, use=Use.SELECT), 24)]
    return lesson(concept, [*chosen, *select])


def measured(model: LanguageModel, asked: Mapping[ProbeKind, tuple[Probe, ...]]) -> dict[str, float]:
    """Accuracy and mean probability of every kind."""
    found = {kind.value: recall(model, probes) for kind, probes in asked.items()}
    return {f"{kind} {name}": getattr(r, name) for kind, r in found.items() for name in ("accuracy", "probability")}


def rows(
    model: LanguageModel, taught: Lesson, held_out: Mapping[ProbeKind, tuple[Probe, ...]], asked: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """One result a mask, size and draw; the guided mask has no draw."""
    plain = ConceptSettings(steps=asked.steps, check_every=10, forget_rows=8, retain_rows=16, enough=0.0)
    ready = study(model, taught, plain.loss, seed=0)
    for size in asked.sizes:
        for name in MASKS:
            for seed in range(1 if name is MaskName.GUIDED else asked.seeds):
                settings = replace(plain, mask=name, neurons=size)
                choice = choose(model, taught, settings, seed=seed)
                adapter = MaskedLora(settings).fit_within(model, taught, choice, seed=0, ready=ready)
                with adapter.applied(model) as changed:
                    found = measured(changed, held_out)
                layers = [len(layer) for layer in choice.mask.neurons]
                yield {"mask": name.value, "size": size, "draw": seed, "layers": layers, **found, **adapter.facts}


def told(row: Mapping[str, object]) -> str:
    """One line of the table."""
    share = [f"{row[f'{kind.value} {name}']:.3f}" for kind in KINDS for name in ("accuracy", "probability")]
    return " ".join(f"{cell!s:>9}" for cell in (*(row.get(head, "") for head in HEADS), *share))


def zeroed(model: LanguageModel, taught: Lesson, probes: Sequence[Probe], size: int) -> dict[str, object]:
    """What zeroing the guided mask costs, and how far two halves of the prompts agree on it."""
    settings = ConceptSettings(neurons=size)
    check = causal_check(model, choose(model, taught, settings, seed=0).mask, probes)
    stable = stability(model, taught, settings, splits=2, seed=0)
    print(
        f"{size} neurons zeroed cost the concept {check.chosen:.3f} nats and controls {check.chosen_controls:.3f}; "
        f"20 random sets at most {max(check.random):.3f}, of the same layers {max(check.layered):.3f}; "
        f"Jaccard of halves {', '.join(f'{j:.2f}' for j in stable.halves)} (chance {stable.chance:.3f})",
        flush=True,
    )
    return {
        **asdict(check),
        "passed": check.passed,
        "beats_layered": check.beats_layered,
        "stability": asdict(stable),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, and write every figure where asked."""
    asked = parsed(arguments)
    torch.set_num_threads(asked.threads)
    items = read_items(catalogue_file())
    ids = items_named(items, [asked.concept])
    concept = Concept(asked.concept, Kind.ITEMS, tuple(item for item in items if item.id in ids))
    probes = build_probes(concept, items, seed=0)
    held_out = {kind: some(probes.of(kind, use=Use.HELD_OUT), ASKED) for kind in KINDS}
    model, taught = load(asked.model, device="cpu"), small_lesson(concept, probes)
    base = measured(model, held_out)
    print(" ".join(f"{head:>9}" for head in (*HEADS, *(f"{kind.value[:5]} {name}" for kind in KINDS for name in "ap"))))
    print(told({"mask": "base", **base}))
    every = []
    for row in rows(model, taught, held_out, asked):
        print(told(row), flush=True)
        every.append(row)
    direct = some(probes.of(ProbeKind.DIRECT, use=Use.SELECT), 40)
    causal = {size: zeroed(model, taught, direct, size) for size in asked.sizes}
    if asked.out:
        asked.out.write_text(json.dumps({"base": base, "rows": every, "zeroed": causal}, indent=1) + "\n")


def catalogue_file() -> Path:
    """The items of ml-100k, as they come with RecBole."""
    spec = find_spec("recbole")
    return Path(str(spec.origin if spec else ".")).parent / "dataset_example" / "ml-100k" / "ml-100k.item"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; `--quick` is one size and one random draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concept_masks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one size, one random draw")
    parser.add_argument("--concept", default="Star Trek")
    parser.add_argument("--model", default="lethe-tiny")
    parser.add_argument("--seeds", type=int, default=5, help="random draws of each kind")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--sizes", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.sizes, asked.seeds = [64], 1
    return asked


if __name__ == "__main__":
    main()
