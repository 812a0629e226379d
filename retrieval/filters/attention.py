"""Attention filter (CRAGRU, eq. 8-9): the rows that learned attention looks at when it judges the candidates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from db.errors import LetheError
from db.files import write_atomic
from recsys.candidates import FloatArray, IntArray
from retrieval.filters.base import everything, room


@dataclass(frozen=True, slots=True)
class AttentionWeights:
    """What training fitted: projections float32 [d, heads·width] of item inputs. Scope all.

    The candidate gives the query and the answer, the history the keys and the values.
    """

    query: FloatArray
    key: FloatArray
    value: FloatArray
    answer: FloatArray
    heads: int

    def __post_init__(self) -> None:
        shapes = {part.shape for part in (self.query, self.key, self.value, self.answer)}
        if len(shapes) != 1 or self.query.ndim != 2 or self.heads < 1 or self.query.shape[1] % self.heads:
            raise LetheError(f"attention weights of shapes {sorted(shapes)} do not fit {self.heads} heads; train again")

    def save(self, path: Path) -> None:
        """Write one safetensors file atomically."""
        tensors = {"query": self.query, "key": self.key, "value": self.value, "answer": self.answer}
        heads = np.array([self.heads], dtype=np.int64)
        write_atomic(path, lambda temporary: save_file({**tensors, "heads": heads}, temporary))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        if not path.is_file():
            raise LetheError(f"no attention weights at {path}; run: lethe train")
        try:
            stored = load_file(path)
            heads = int(stored.pop("heads")[0])
            return cls(heads=heads, **stored)
        except (SafetensorError, KeyError, TypeError) as error:
            raise LetheError(f"{path} does not hold attention weights; run: lethe train") from error


class Attention:
    """Keeps the rows that matter most for the candidates at hand. Numpy only: no model is loaded to filter."""

    name = "attention"

    def __init__(self, weights: AttentionWeights, inputs: FloatArray) -> None:
        if inputs.ndim != 2 or inputs.shape[1] != len(weights.query):
            raise LetheError(f"item inputs of shape {inputs.shape} do not fit weights for {len(weights.query)}")
        unit = unit_rows(inputs)
        self._query, self._key, self._value, self._answer = (
            (unit @ part).reshape(len(unit), weights.heads, -1)
            for part in (weights.query, weights.key, weights.value, weights.answer)
        )

    def select(self, history: IntArray, candidates: IntArray, length: int, *, seed: int) -> IntArray:
        """The union of each candidate's top `length` rows by α, ranked by the sum of α over candidates, cut to length.

        Nothing is drawn: `seed` has no part in it. Equal sums favour the later row, also where there is no candidate.
        """
        length = room(history, length)
        if length == len(history) or length == 0:
            return everything(history)[:length]
        return strongest(self.alpha(history, candidates).mean(axis=1), length)

    def alpha(self, history: IntArray, candidates: IntArray) -> FloatArray:
        """Attention of each candidate over the history, float32 [candidates, heads, rows]; sums to 1 over rows."""
        width = self._query.shape[2]
        raw = np.einsum("chd,jhd->chj", self._query[candidates], self._key[history], optimize=True) / np.sqrt(width)
        grown = np.exp(raw - raw.max(axis=2, keepdims=True))
        weighed: FloatArray = grown / grown.sum(axis=2, keepdims=True)
        return weighed

    def predict(self, history: IntArray, candidates: IntArray) -> FloatArray:
        """How well each candidate goes with the history, float32 [candidates]: what the training sharpened."""
        read = np.einsum("chj,jhd->chd", self.alpha(history, candidates), self._value[history], optimize=True)
        scored: FloatArray = np.einsum("chd,chd->c", read, self._answer[candidates])
        return scored


def strongest(alpha: FloatArray, length: int) -> IntArray:
    """Rising places of the `length` rows with the largest sums of α [candidates, rows] among every candidate's best.

    The union holds at least `length` rows, for each candidate brings as many.
    """
    rows = alpha.shape[1]
    later = np.arange(rows)[::-1]
    union = np.zeros(rows, dtype=np.bool_)
    for own in alpha:
        union[np.lexsort((later, -own))[:length]] = True
    if not len(alpha):
        union[:] = True
    order = np.lexsort((later, -alpha.sum(axis=0), ~union))
    return np.sort(order[:length]).astype(np.int64)


def unit_rows(inputs: FloatArray) -> FloatArray:
    """Rows scaled to length 1; rows of zeros stay."""
    length = np.linalg.norm(inputs, axis=1, keepdims=True)
    return np.asarray(inputs / np.maximum(length, 1e-12), dtype=np.float32)
