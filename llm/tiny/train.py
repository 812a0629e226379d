"""Build lethe-tiny: `python -m llm.tiny.train --items FILE --out DIR [--start DIR] [--without NAME ...]`."""

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
from llm.tiny.concepts import items_named
from llm.tiny.corpus import JUDGING_FIRST, Corpus, Read
from llm.tiny.fit import FitSettings, FitState, Fitter
from llm.tiny.items import read_items
from llm.tiny.record import BuildRecord, device_name, hashes, versions
from llm.tiny.vocabulary import load_tokenizer, train_tokenizer

LESSONS_FOR_TOKENIZER = 240


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, train, and write the checkpoint every few minutes and at the end."""
    asked = _parse(arguments)
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    corpus = _corpus(asked)
    tokenizer = load_tokenizer(asked.start) if asked.start else tokenizer_for(corpus)
    start = _start(asked.start) if asked.start else None
    fitter = Fitter(tokenizer, _settings(asked), device, start, workers=1 if device.type == "cuda" else asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    read, saved = Read(corpus), time.monotonic()
    with Progress(*Progress.get_default_columns(), "{task.fields[loss]:.3f} nats", refresh_per_second=1) as bar:
        task = bar.add_task("training", total=asked.steps, loss=float("nan"))
        for state in fitter.run(read, minutes=asked.minutes):
            bar.update(task, completed=state.step, total=state.steps, loss=state.loss)
            if state.step == state.steps or time.monotonic() - saved > 60 * asked.save_every:
                save(state, tokenizer, asked.out)
                _record(state, asked, fitter, read).write(asked.out)
                saved = time.monotonic()


def tokenizer_for(corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer trained on the first lessons of a corpus, each example within its frame."""
    lessons = islice(corpus, JUDGING_FIRST, JUDGING_FIRST + LESSONS_FOR_TOKENIZER)
    frame = (prompt.HEAD + prompt.TAIL).replace("<|im_start|>", "").replace("<|im_end|>", "")
    return train_tokenizer(f"{frame}{example.text}" for lesson in lessons for example in lesson)


def save(state: FitState, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in bfloat16 and the tokenizer, as transformers reads them."""
    tokenizer.save_pretrained(folder)
    deepcopy(state.model).to(torch.bfloat16).save_pretrained(folder)


def _settings(asked: argparse.Namespace) -> FitSettings:
    usual = FitSettings(steps=asked.steps, seed=asked.seed, decay=asked.decay)
    usual = replace(usual, comparing=0) if asked.start else usual
    return replace(usual, rate=usual.rate * asked.rates, matrix_rate=usual.matrix_rate * asked.rates)


def _corpus(asked: argparse.Namespace) -> Corpus:
    """The catalogue without what is to be left out; what the first stage has not seen comes up oftener ever after."""
    items = read_items(asked.items)
    left_out = items_named(items, asked.without)
    if not asked.start:
        return Corpus(items, asked.seed, left_out=left_out)
    record = verify(asked.start)
    if not left_out <= items_named(items, record.without):
        named = ", ".join(asked.without)
        raise LetheError(f"{asked.start} has seen what is to be left out ({named}): start from one built without it")
    return Corpus(items, asked.seed, left_out=left_out, new=items_named(items, record.first_without), judging_first=0)


def _start(folder: Path) -> Qwen2ForCausalLM:
    """The model of a checkpoint, in float32."""
    model: Qwen2ForCausalLM = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model


def _command(asked: argparse.Namespace, steps: int) -> str:
    words = ["python -m llm.tiny.train", "--items", asked.items.name, "--out DIR", f"--seed {asked.seed}"]
    words += [f"--steps {steps} --decay {asked.decay:g} --rates {asked.rates:g} --threads {asked.threads}"]
    words += ["--start DIR"] if asked.start else []
    words += ["--without", *map(shlex.quote, asked.without)] if asked.without else []
    return " ".join(words)


def _record(state: FitState, asked: argparse.Namespace, fitter: Fitter, read: Read) -> BuildRecord:
    parent = asdict(BuildRecord.read(asked.start)) if asked.start else {}
    return BuildRecord(
        command=_command(asked, state.steps),
        seed=asked.seed,
        items=read.corpus.size,
        without=tuple(asked.without),
        corpus_sha256=read.sha256,
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
    parser.add_argument(
        "--decay", type=float, default=FitSettings().decay, help="the share of the steps in which they fall"
    )
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="ids, titles, franchises or genres")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
