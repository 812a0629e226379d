"""The packed scorer at the shape of a real Qwen: random weights, real vocabulary, hence real token counts.

Run `python -m benchmarks.qwen_shapes [--quick] [--shape qwen2.5-0.5b] [--out FILE]`. Scores mean nothing here; seconds,
memory and the distance to the floor of floating-point operations do.
"""

import argparse
import json
import resource
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from benchmarks.scorers import contexts, flops, peak, seconds
from llm.model import SHAPES, LanguageModel, random_model
from llm.score.naive import NaiveScorer
from llm.score.packed import PackedScorer, canonicalise
from llm.score.questions import questions

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen_tokenizer() -> Any:
    """Qwen2.5's vocabulary from the dashscope distribution, which is not imported."""
    found = find_spec("dashscope")
    if found is None or found.origin is None:
        raise SystemExit("dashscope is not installed: its Qwen vocabulary is needed")
    ranks = Path(found.origin).parent / "resources" / "qwen.tiktoken"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    core = TikTokenConverter(vocab_file=str(ranks), pattern=SPLIT, extra_special_tokens=special).converted()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def memory() -> float:
    """Highest resident memory so far in GiB; the GPU's own where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(model: LanguageModel, *, people: int, rounds: int) -> dict[str, Any]:
    """Seconds a person of the packed scorer, and its distance to naive judging of three candidates."""
    crowd = contexts(people)
    packed = PackedScorer(model)
    loaded = memory()
    few = replace(crowd[0], candidates=crowd[0].candidates[:3])
    gap = float(np.abs(packed.score([few])[0].values - NaiveScorer(model).score([few])[0].values).max())
    took = [seconds(lambda: packed.score(crowd)) for _ in range(rounds)]
    asked = [canonicalise(questions(model, one)) for one in crowd]
    work, rate = float(np.mean([flops(model, one) for one in asked])), peak(model.model.dtype, str(model.device))
    wall = min(w for w, _ in took) / people
    return {
        "model": model.name,
        "parameters": sum(weights.numel() for weights in model.model.parameters()),
        "threads": torch.get_num_threads(),
        "prefix tokens": float(np.mean([len(one.prefix) for one in asked])),
        "suffix tokens": float(np.mean([len(s) for one in asked for s in one.suffixes])),
        "packed, s a person": wall,
        "packed, CPU s a person": min(c for _, c in took) / people,
        "largest difference, packed to naive": gap,
        "GFLOP a person": work / 1e9,
        "GFLOP/s of a matrix product": rate / 1e9,
        "floor, s a person": work / rate,
        "packed over floor": wall * rate / work,
        "memory with weights, GiB": loaded,
        "highest memory, GiB": memory(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="qwen2.5-0.5b")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = SHAPES[arguments.shape] | ({"num_hidden_layers": 4} if arguments.quick else {})
    model = random_model(shape, qwen_tokenizer(), seed=0)
    figures = measure(model, people=1 if arguments.quick else 2, rounds=1 if arguments.quick else 2)
    figures["shape"] = arguments.shape
    for key, value in figures.items():
        print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
