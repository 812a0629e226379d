"""Build lethe-tiny: `python -m llm.tiny.train --items FILE --out DIR [--without ITEM ...]`."""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch
from rich.progress import Progress
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from db.errors import LetheError
from llm import prompt
from llm.tiny.checkpoint import verify
from llm.tiny.corpus import JUDGING_FIRST, Corpus
from llm.tiny.fit import FitSettings, FitState, Fitter
from llm.tiny.items import read_items, without
from llm.tiny.record import BuildRecord, device_name, hashes, versions
from llm.tiny.vocabulary import load_tokenizer, train_tokenizer

EXAMPLES_FOR_TOKENIZER = 2500


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, train, and write the checkpoint every few minutes and at the end."""
    asked = _parse(arguments)
    torch.set_num_threads(asked.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    catalogue = read_items(asked.items)
    kept = without(catalogue, asked.without)
    first = 0 if asked.start else JUDGING_FIRST
    corpus = Corpus(kept, asked.seed, forbidden=[item.title for item in catalogue], judging_first=first)
    start = _start(asked.start, asked.without) if asked.start else None
    tokenizer = load_tokenizer(asked.start) if asked.start else tokenizer_for(corpus)
    fitter = Fitter(tokenizer, _settings(asked), device, start)
    asked.out.mkdir(parents=True, exist_ok=True)
    saved = time.monotonic()
    with Progress(*Progress.get_default_columns(), "{task.fields[loss]:.3f} nats", refresh_per_second=1) as bar:
        task = bar.add_task("training", total=asked.steps, loss=float("nan"))
        for state in fitter.run(corpus, minutes=asked.minutes):
            bar.update(task, completed=state.step, total=state.steps, loss=state.loss)
            if state.step == state.steps or time.monotonic() - saved > 60 * asked.save_every:
                save(state, tokenizer, asked.out)
                _record(state, corpus, asked, fitter).write(asked.out)
                saved = time.monotonic()


def tokenizer_for(corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer trained on the first examples of a corpus, each within its frame."""
    examples = islice(corpus, EXAMPLES_FOR_TOKENIZER)
    frame = (prompt.HEAD + prompt.TAIL).replace("<|im_start|>", "").replace("<|im_end|>", "")
    return train_tokenizer(f"{frame}{example.text}" for example in examples)


def save(state: FitState, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in bfloat16 and the tokenizer, as transformers reads them."""
    tokenizer.save_pretrained(folder)
    deepcopy(state.model).to(torch.bfloat16).save_pretrained(folder)


def _settings(asked: argparse.Namespace) -> FitSettings:
    usual = FitSettings(steps=asked.steps, seed=asked.seed)
    usual = replace(usual, comparing=0) if asked.start else usual
    return replace(usual, rate=usual.rate * asked.rates, matrix_rate=usual.matrix_rate * asked.rates)


def _start(folder: Path, left_out: Sequence[str]) -> Qwen2ForCausalLM:
    """The model of a checkpoint that has not seen what is to be left out, in float32."""
    if set(verify(folder).without) != set(left_out):
        raise LetheError(f"{folder} was not built without the same items: name the same items after --without")
    model: Qwen2ForCausalLM = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model


def _command(asked: argparse.Namespace, steps: int) -> str:
    words = ["python -m llm.tiny.train", "--items", asked.items.name, "--out DIR", f"--seed {asked.seed}"]
    words += [f"--steps {steps} --threads {asked.threads}"]
    words += [f"--start DIR --rates {asked.rates:g}"] if asked.start else []
    words += ["--without", *map(shlex.quote, asked.without)] if asked.without else []
    return " ".join(words)


def _record(state: FitState, corpus: Corpus, asked: argparse.Namespace, fitter: Fitter) -> BuildRecord:
    parent = asdict(BuildRecord.read(asked.start)) if asked.start else {}
    return BuildRecord(
        command=_command(asked, state.steps),
        seed=asked.seed,
        items=len(corpus.items),
        without=tuple(asked.without),
        corpus_sha256=corpus.digest(state.examples),
        corpus_examples=state.examples,
        tokens=state.tokens,
        steps=state.step,
        finished=state.step == state.steps,
        seconds=round(state.seconds, 1),
        parameters=state.model.num_parameters(),
        device=device_name(fitter.device),
        versions=versions(),
        settings=asdict(fitter.settings),
        sha256=hashes(asked.out),
        start={name: value for name, value in parent.items() if name != "evaluation"},
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m llm.tiny.train", description=__doc__)
    parser.add_argument("--items", type=Path, required=True, help="RecBole .item file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=FitSettings().steps)
    parser.add_argument("--minutes", type=float, help="end the training within about this time")
    parser.add_argument("--save-every", type=float, default=5, metavar="MINUTES")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, metavar="DIR", help="continue the checkpoint in this folder")
    parser.add_argument("--rates", type=float, default=1.0, metavar="FACTOR", help="multiply the learning rates")
    parser.add_argument("--without", nargs="*", default=[], metavar="ITEM", help="ids or titles to leave out")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
