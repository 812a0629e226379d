"""What a model says of its own accord, and whether it is language: a collapsed model has not forgotten, it failed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llm.model import LanguageModel
from unlearning.concept.answers import token_figures
from unlearning.concept.rows import END, Turn, encode_rows

LONGEST = 48
"""Tokens of an answer at most."""
SURPRISED = 4.0
"""Nats at which a token is no likely continuation."""
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Spoken:
    """A greedy answer; `ended` where the model ended it by itself."""

    question: str
    text: str
    ended: bool


@torch.inference_mode()
def speak(
    model: LanguageModel,
    questions: Sequence[str],
    *,
    longest: int = LONGEST,
    earlier: Sequence[tuple[str, str]] = (),
) -> tuple[Spoken, ...]:
    """The greedy answer to every question, in order; each is asked after the same earlier turns, if there are any."""
    prompts = [model.prompt(question, earlier) for question in questions]
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    found: dict[int, Spoken] = {}
    for start in range(0, len(order), _AT_ONCE):
        places = order[start : start + _AT_ONCE]
        for place, ids in zip(places, _greedy(model, [prompts[place] for place in places], longest), strict=True):
            found[place] = _told(model, questions[place], ids)
    return tuple(found[place] for place in range(len(prompts)))


def _greedy(model: LanguageModel, prompts: Sequence[list[int]], longest: int) -> list[list[int]]:
    """Ids of each answer, whatever follows its end included."""
    width, (end,) = max(map(len, prompts)), model.frame(END)
    ids = torch.full((len(prompts), width), end, device=model.device)
    seen = torch.zeros_like(ids)
    for line, prompt in enumerate(prompts):
        ids[line, width - len(prompt) :] = torch.tensor(prompt)
        seen[line, width - len(prompt) :] = 1
    said = model.model.generate(
        input_ids=ids,
        attention_mask=seen,
        max_new_tokens=longest,
        do_sample=False,
        pad_token_id=end,
        eos_token_id=end,
    )
    answers: list[list[int]] = said[:, width:].tolist()
    return answers


def _told(model: LanguageModel, question: str, ids: list[int]) -> Spoken:
    (end,) = model.frame(END)
    text = model.tokenizer.decode(ids[: ids.index(end)] if end in ids else ids, skip_special_tokens=True)
    return Spoken(question, text, end in ids)


def fluent(base: LanguageModel, spoken: Sequence[Spoken]) -> NDArray[np.float64]:
    """1 where an answer ends, says something, does not repeat itself, and the base finds most of its tokens likely.

    A refusal is fluent, a wrong answer too. The base must be unchanged at the time.
    """
    rows = encode_rows(base, [Turn(one.question, one.text) for one in spoken])
    likelihoods, _ = token_figures(base, rows)
    return np.array(
        [
            float(one.ended and bool(one.text.strip()) and _varied(row.answer[:-1]) and _likely(found[:-1]))
            for one, row, found in zip(spoken, rows, likelihoods, strict=True)
        ]
    )


def _varied(tokens: Sequence[int]) -> bool:
    """At least half of the runs of three tokens occur but once."""
    runs = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(set(runs)) * 2 >= len(runs)


def _likely(likelihoods: NDArray[np.float64]) -> bool:
    return bool((likelihoods >= -SURPRISED).mean() >= 0.5) if len(likelihoods) else False
