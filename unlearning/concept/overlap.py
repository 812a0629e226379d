"""What neurons do where an answer is read, and how alike that is between wordings and between classes of candidates.

Raw cosine of activations saturates near 1, whatever is asked: every measure here takes a mean off first, in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm.model import LanguageModel
from llm.prompt import NO, TAIL, YES, Wording, judge
from retrieval.context import Context
from unlearning.concept.base import Progress, quiet
from unlearning.concept.places import down_projections, rewritten, shape_of
from unlearning.concept.rows import Row, answer_states, batches, logits_of

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Readings:
    """Of each row, in order."""

    neurons: Floats
    """What enters `down_proj` where the answer is read, float32 [layers, rows, width]."""
    leaning: NDArray[np.float64]
    """logit(yes) - logit(no), [rows]."""


def judged_rows(model: LanguageModel, contexts: Sequence[Context], wording: Wording) -> list[Row]:
    """One row for each candidate of each context, as the packed scorer asks; the answer is yes, without an end.

    Earlier turns are no part of what is read here: ValueError for a wording that has any.
    """
    if wording.earlier:
        raise ValueError("a wording with earlier turns: give one without")
    head, tail, yes = model.head(), model.frame(TAIL), (model.token(YES),)
    rows = []
    for asked in (judge(context, wording) for context in contexts):
        prefix, *suffixes = model.encode((asked.prefix, *asked.suffixes))
        rows += [Row(tuple(head + prefix), tuple(suffix + tail), yes) for suffix in suffixes]
    return rows


@torch.inference_mode()
def read(model: LanguageModel, rows: Sequence[Row], *, tokens: int = 4096, progress: Progress = quiet) -> Readings:
    """Every row's neurons and leaning at its answer, which must be one token."""
    if any(len(row.answer) != 1 for row in rows):
        raise ValueError("rows whose answers are one token each are wanted")
    shape, yes, no = shape_of(model.model), model.token(YES), model.token(NO)
    neurons = np.zeros((shape.layers, len(rows), shape.width), np.float32)
    leaning = np.zeros(len(rows))
    done = 0
    for batch in batches(rows, model.device, tokens=tokens):
        numbers, places = list(batch.rows), batch.places

        def _listen(layer: int, entering: Tensor, numbers: list[int] = numbers, places: Tensor = places) -> Tensor:
            neurons[layer, numbers] = entering.flatten(0, 1).index_select(0, places).float().cpu().numpy()
            return entering

        with rewritten(down_projections(model.model), _listen):
            logits = logits_of(model, answer_states(model, batch)).float()
        leaning[numbers] = (logits[:, yes] - logits[:, no]).double().cpu().numpy()
        done += len(numbers)
        progress(done, len(rows))
    return Readings(neurons, leaning)


def centred_cosine(a: Floats, b: Floats) -> Floats:
    """Cosine of each row of `a` with that of `b` [rows, width], the mean over all rows of both taken off; [rows].

    >>> centred_cosine(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])).round(6).tolist()
    [1.0, 1.0]
    >>> centred_cosine(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])).round(6).tolist()
    [-1.0, -1.0]
    """
    mean = np.concatenate([a, b]).mean(axis=0)
    cosine: Floats = (_unit(a - mean) * _unit(b - mean)).sum(axis=1)
    return cosine


def cka(a: Floats, b: Floats) -> float:
    """Linear centred kernel alignment of two matrices [rows, width] (Kornblith et al. 2019, eq. 4 with linear kernels).

    1 where they differ by a rotation and a scale alone, near 0 where nothing corresponds; NaN where either is constant.
    """
    first, second = (part - part.mean(axis=0) for part in (a.astype(np.float64), b.astype(np.float64)))
    k, m = first @ first.T, second @ second.T
    size = float(np.sqrt((k * k).sum() * (m * m).sum()))
    return float((k * m).sum()) / size if size > 0 else float("nan")


class Spread:
    """Adds up neurons wording by wording, to tell what part of their variance the wording alone makes."""

    def __init__(self) -> None:
        self._means: list[NDArray[np.float64]] = []
        self._squares: list[NDArray[np.float64]] = []

    def add(self, neurons: Floats) -> None:
        """One wording's neurons [layers, rows, width]: the same rows for every wording."""
        self._means.append(neurons.mean(axis=1, dtype=np.float64))
        self._squares.append(np.square(neurons, dtype=np.float64).mean(axis=1))

    def share(self) -> NDArray[np.float64]:
        """Of each layer, variance of the wordings' means over that of everything, over all neurons together, [layers].

        1 where a wording alone decides what neurons do, 0 where it changes nothing; NaN where nothing varies.
        """
        means = np.stack(self._means)
        whole = (np.mean(self._squares, axis=0) - means.mean(axis=0) ** 2).sum(axis=1)
        between = means.var(axis=0).sum(axis=1)
        return np.where(whole > 0, between / np.where(whole > 0, whole, 1), np.nan)


def likeness(rows: Floats) -> Floats:
    """Cosine of every row [rows, width] with every other, their mean taken off; [rows, rows]."""
    unit = _unit(rows - rows.mean(axis=0))
    table: Floats = unit @ unit.T
    return table


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return unit
