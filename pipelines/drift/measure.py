"""Puts requests to a model, as every instance of a perturbation words and orders them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llm.model import LanguageModel
from llm.prompt import RANKING, UNKNOWN_TITLE, Wording, free, generate, reason
from llm.score.base import Scorer, Scores
from pipelines.drift.cells import rows
from pipelines.drift.instances import Instance
from pipelines.drift.requests import Request
from retrieval.context import Context
from unlearning.concept.base import Progress
from unlearning.concept.spoken import Spoken, fluent, speak

CHUNK = 16
"""Requests that are put at a time."""

THOUGHT = 96
"""Tokens of a thought at most."""

Make = Callable[[LanguageModel, Wording], Scorer]
"""A scorer of a model that asks in a wording."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Unit vectors of texts."""

Orders = list[NDArray[np.int64]]


def scored(
    make: Make, model: LanguageModel, requests: Sequence[Request], made: Sequence[Instance], progress: Progress
) -> pl.DataFrame:
    """Scores of every request's candidates under every instance; a list without a usable answer says so."""
    parts, total = list[pl.DataFrame](), len(made) * len(requests)
    for instance in made:
        shown, orders = _shown(requests, instance)
        said = list[Scores]()
        for part in _chunks(shown):
            for group, wording, able in _put(model, part, instance):
                unusable = [Scores.unusable(len(one.candidates), "no thought in words") for one in group]
                said += make(model, wording).score(group) if able else unusable
            progress(len(parts) * len(requests) + len(said), total)
        values = [_back(one, order) for one, order in zip(said, orders, strict=True)]
        parts.append(rows(instance, requests, {"usable": [one.usable for one in said], "scores": values}))
    return pl.concat(parts)


def _put(
    model: LanguageModel, part: Sequence[Context], instance: Instance
) -> Iterator[tuple[Sequence[Context], Wording, bool]]:
    """Requests in one wording, and whether they can be put: not after thoughts that the model has no words for."""
    wording = instance.wording
    if instance.again:
        yield from (([one], _after(wording, generate(one, wording), _as_retrieved(one)), True) for one in part)
        return
    if not instance.reasons:
        yield part, wording, True
        return
    for one, thought, able in zip(part, *thoughts(model, part, wording), strict=True):
        yield [one], _after(wording, thought.question, thought.text), bool(able)


def _after(wording: Wording, asked: str, said: str) -> Wording:
    """The same words after one more turn of the conversation."""
    return replace(wording, earlier=(*wording.earlier, (asked, said)))


def _as_retrieved(context: Context) -> str:
    """The answer that leaves every candidate in its place."""
    return json.dumps({RANKING: list(range(1, len(context.candidates) + 1))}, separators=(",", ":"))


def thoughts(
    model: LanguageModel, part: Sequence[Context], wording: Wording
) -> tuple[tuple[Spoken, ...], NDArray[np.bool_]]:
    """What the model thinks aloud of each request, and whether that is language and more than a refusal."""
    found = speak(model, [reason(one, wording) for one in part], longest=THOUGHT, earlier=wording.earlier)
    refused = np.array([one.text.strip() == UNKNOWN_TITLE for one in found])
    return found, (fluent(model, found) == 1) & ~refused


def spoken(
    model: LanguageModel,
    requests: Sequence[Request],
    made: Sequence[Instance],
    progress: Progress,
    *,
    embed: Embed,
    reference: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Greedy answers in words, and the cosine of each to the answer to the same request as `reference` has it.

    Without a reference the answers are it. An empty answer is not usable and is like nothing.
    """
    parts, total = list[pl.DataFrame](), len(made) * len(requests)
    for instance in made:
        shown, _ = _shown(requests, instance)
        said: list[str] = []
        for part in _chunks(shown):
            for group, wording, able in _put(model, part, instance):
                said += _answers(model, group, wording) if able else [""] * len(group)
            progress(len(parts) * len(requests) + len(said), total)
        parts.append(rows(instance, requests, {"usable": [bool(text) for text in said], "answer": said}))
    found = pl.concat(parts)
    return found.with_columns(pl.Series("similarity", _likeness(found, reference, embed), dtype=pl.Float64))


def _answers(model: LanguageModel, group: Sequence[Context], wording: Wording) -> list[str]:
    asked = [free(one, wording) for one in group]
    return [one.text.strip() for one in speak(model, asked, earlier=wording.earlier)]


def _likeness(found: pl.DataFrame, reference: pl.DataFrame | None, embed: Embed) -> list[float | None]:
    served = found if reference is None else reference
    first = dict(zip(served.select("person", "request").iter_rows(), served["answer"], strict=True))
    texts = sorted({*first.values(), *found["answer"]})
    vectors = dict(zip(texts, embed(texts), strict=True))
    pairs = zip(found.select("person", "request").iter_rows(), found["answer"], strict=True)
    return [float(vectors[first[key]] @ vectors[text]) if text and first[key] else None for key, text in pairs]


def _shown(requests: Sequence[Request], instance: Instance) -> tuple[list[Context], Orders]:
    """Contexts as they are shown, and which candidate stands where in each."""
    orders = [instance.order(one.person, one.number, len(one.context.candidates)) for one in requests]
    contexts = [
        replace(one.context, candidates=tuple(one.context.candidates[place] for place in order.tolist()))
        for one, order in zip(requests, orders, strict=True)
    ]
    return contexts, orders


def _back(said: Scores, order: NDArray[np.int64]) -> list[float]:
    """Scores in the retrieval's order."""
    values = np.empty(len(order), np.float32)
    values[order] = said.values
    found: list[float] = values.tolist()
    return found


def _chunks(contexts: Sequence[Context]) -> list[list[Context]]:
    left = iter(contexts)
    return list(iter(lambda: list(islice(left, CHUNK)), []))
