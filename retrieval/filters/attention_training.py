"""Training of the attention filter: from the rest of a history, tell a held-out training row from sampled others."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, embedding

from db.errors import LetheError
from recsys.candidates import FloatArray, IntArray
from retrieval.filters.attention import AttentionWeights, unit_rows

Mask = NDArray[np.bool_]

PARTS = ("query", "key", "value", "answer")

SPREAD = 3.0
"""Scale of value and answer at the start: the first predictions spread over a few units of log-odds."""


@dataclass(frozen=True, slots=True)
class AttentionSettings:
    """How the attention is built and trained."""

    heads: int = 4
    width: int = 16
    """Coordinates of a head."""
    epochs: int = 8
    people: int = 64
    """People in a batch."""
    rows: int = 64
    """Rows of a history shown at a time, drawn anew each time."""
    targets: int = 4
    """Held-out rows of each person in a batch."""
    negatives: int = 16
    """Items of other people's training rows that each held-out row competes with."""
    sharpness: float = 8.0
    """At the start a head's score is about this times the cosine of candidate and row."""
    rate: float = 5e-3
    decay: float = 1e-3


@dataclass(frozen=True, slots=True)
class Batch:
    """People's tasks as rows: `history` [people, rows] filled up where `gap`, `candidates` [people, targets, 1 + n].

    The held-out row is the first of each task's candidates.
    """

    history: torch.Tensor
    gap: torch.Tensor
    candidates: torch.Tensor


class AttentionFitter:
    """Fits `AttentionWeights` to item inputs and training histories; the same seed gives the same bytes."""

    def __init__(self, settings: AttentionSettings | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        self._settings = settings or AttentionSettings()
        self._seed, self._device = seed, device

    def fit(
        self,
        inputs: FloatArray,
        histories: Sequence[IntArray],
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> AttentionWeights:
        """Train on item inputs, float32 [items, d], and everybody's training rows. One epoch draws each person once."""
        told = [np.unique(history) for history in histories]
        told = [history for history in told if len(history) > 1]
        if not told:
            raise LetheError("nobody has two training rows, so attention cannot be trained; use another filter")
        with _one_thread():
            weights = self._train(unit_rows(inputs), told, progress)
        return self._fitted(weights)

    def _train(
        self, inputs: FloatArray, told: Sequence[IntArray], progress: Callable[[int, int], None]
    ) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(self._seed)
        items = torch.from_numpy(inputs).to(self._device)
        weights = self._initial(inputs, rng)
        optimizer = torch.optim.AdamW(weights.values(), lr=self._settings.rate, weight_decay=self._settings.decay)
        stream = np.concatenate(told)
        for epoch in range(self._settings.epochs):
            order = rng.permutation(len(told))
            for start in range(0, len(order), self._settings.people):
                chosen = [told[person] for person in order[start : start + self._settings.people]]
                loss = task_loss(items, weights, self._settings.heads, self._batch(chosen, len(inputs), stream, rng))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
            progress(epoch + 1, self._settings.epochs)
        return weights

    def _fitted(self, weights: dict[str, torch.Tensor]) -> AttentionWeights:
        query, key, value, answer = (weights[name].detach().cpu().numpy() for name in PARTS)
        return AttentionWeights(query, key, value, answer, self._settings.heads)

    def _initial(self, inputs: FloatArray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Similarity to begin with: each head sees the principal directions of the inputs, turned at random.

        Query and key start equal, and so do value and answer. From random projections the training leaves the
        attention almost even, and its rows no better than random ones (docs/experiments.md).
        """
        settings = self._settings
        across = settings.heads * settings.width
        _, _, directions = np.linalg.svd(inputs.T @ inputs, hermitian=True)
        turn, _ = np.linalg.qr(rng.standard_normal((across, across)))
        seen = min(across, inputs.shape[1])
        basis = directions[:seen].T @ turn[:seen]
        sharp = np.sqrt(settings.sharpness * settings.heads * np.sqrt(settings.width))
        scale = {"query": sharp, "key": sharp, "value": SPREAD, "answer": SPREAD}
        return {
            name: torch.from_numpy((basis * scale[name]).astype(np.float32)).to(self._device).requires_grad_()
            for name in PARTS
        }

    def _batch(self, people: Sequence[IntArray], items: int, stream: IntArray, rng: np.random.Generator) -> Batch:
        settings = self._settings
        history = np.zeros((len(people), settings.rows), dtype=np.int64)
        gap = np.ones(history.shape, dtype=np.bool_)
        candidates = np.empty((len(people), settings.targets, 1 + settings.negatives), dtype=np.int64)
        for row, own in enumerate(people):
            seen = np.zeros(items, dtype=np.bool_)
            seen[own] = True
            mixed = rng.permutation(own)
            held = min(settings.targets, len(own) // 2)
            shown = mixed[held:][: settings.rows]
            history[row, : len(shown)], gap[row, : len(shown)] = shown, False
            candidates[row, :, 0] = np.resize(mixed[:held], settings.targets)
            candidates[row, :, 1:] = _others(stream, seen, (settings.targets, settings.negatives), rng)
        return Batch(*(torch.from_numpy(part).to(self._device) for part in (history, gap, candidates)))


def task_loss(items: torch.Tensor, weights: dict[str, torch.Tensor], heads: int, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the held-out row against its negatives, under multi-head attention over the history."""
    people, targets, options = batch.candidates.shape
    wanted = batch.candidates.reshape(people, -1)

    def _part(name: str, rows: torch.Tensor) -> torch.Tensor:
        return embedding(rows, items @ weights[name]).reshape(*rows.shape, heads, -1)

    query, answer = _part("query", wanted), _part("answer", wanted)
    key, value = _part("key", batch.history), _part("value", batch.history)
    raw = torch.einsum("pchd,pjhd->phcj", query, key) / query.shape[-1] ** 0.5
    alpha = raw.masked_fill(batch.gap[:, None, None, :], -torch.inf).softmax(dim=-1)
    read = torch.einsum("phcj,pjhd->pchd", alpha, value)
    scores = (read * answer).sum(dim=(-1, -2)).reshape(people * targets, options)
    loss: torch.Tensor = cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))
    return loss


def _others(stream: IntArray, seen: Mask, shape: tuple[int, int], rng: np.random.Generator) -> IntArray:
    """Items drawn as often as people met them, none that this person has `seen` where ten draws can avoid it."""
    drawn = stream[rng.integers(len(stream), size=shape)]
    for _ in range(10):
        clash = seen[drawn]
        if not clash.any():
            break
        drawn[clash] = stream[rng.integers(len(stream), size=int(clash.sum()))]
    return drawn


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for matrices this small: faster than two on a busy machine, and the same bytes on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
