"""Puts requests to a model, as every instance of a perturbation words and orders them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llm.model import LanguageModel
from llm.prompt import Wording, free
from llm.score.base import Scorer, Scores
from pipelines.drift.cells import rows
from pipelines.drift.instances import Instance
from pipelines.drift.requests import Request
from retrieval.context import Context
from unlearning.concept.base import Progress
from unlearning.concept.spoken import speak

CHUNK = 16
"""Requests that are put at a time."""

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
        scorer, said = make(model, instance.wording), list[Scores]()
        for part in _chunks(shown):
            said += scorer.score(part)
            progress(len(parts) * len(requests) + len(said), total)
        values = [_back(one, order) for one, order in zip(said, orders, strict=True)]
        parts.append(rows(instance, requests, {"usable": [one.usable for one in said], "scores": values}))
    return pl.concat(parts)


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
            asked = [free(one, instance.wording) for one in part]
            said += [one.text.strip() for one in speak(model, asked, earlier=instance.wording.earlier)]
            progress(len(parts) * len(requests) + len(said), total)
        parts.append(rows(instance, requests, {"usable": [bool(text) for text in said], "answer": said}))
    found = pl.concat(parts)
    return found.with_columns(pl.Series("similarity", _likeness(found, reference, embed), dtype=pl.Float64))


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
