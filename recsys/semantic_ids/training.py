"""Trains the generative recommender on visible histories: every position of a history predicts the token after it."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from db.errors import LetheError
from db.log import InteractionLog
from recsys.candidates import IntArray
from recsys.heldout import HeldOut, served
from recsys.semantic_ids.backbone import SemanticIds, once
from recsys.semantic_ids.codes import CodeTable, numbered
from recsys.semantic_ids.decoder import Decoder, Shape
from recsys.semantic_ids.kmeans import ResidualKMeans
from recsys.semantic_ids.rqvae import RqVae
from recsys.semantic_ids.speaker import rows_of, span
from recsys.semantic_ids.tokenizer import Tokenizer

QUANTISERS = ("kmeans", "rqvae")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SemanticSettings:
    """What the generative recommender is made with."""

    quantiser: str = "kmeans"
    levels: int = 2
    width: int = 128
    """Codes of a level."""
    digits: int = 32
    """Items that may share all codes."""
    shape: Shape = field(default_factory=Shape)
    window: int = 30
    """Items of a history that are read at once."""
    epochs: int = 24
    """All of them are run without validation; with it, the most that are run."""
    learning_rate: float = 6e-3
    """The highest: it falls on a line, to a fiftieth when the epochs are over."""
    warmup: int = 50
    """Steps over which the rate rises."""
    weight_decay: float = 0.01
    batch: int = 48
    """Windows of a step."""
    evaluate_every: int = 4
    patience: int = 3
    judges: int = 300
    """Validation people who are asked, of all the first so many by lot."""

    def __post_init__(self) -> None:
        if self.quantiser not in QUANTISERS:
            raise LetheError(f"quantiser {self.quantiser!r} is unknown: choose {' or '.join(QUANTISERS)}")
        if min(self.window, self.epochs, self.batch, self.evaluate_every, self.patience, self.judges) < 1:
            raise LetheError(f"{self} is not trainable: counts must be at least 1")

    @classmethod
    def of(cls, stored: dict[str, object]) -> "SemanticSettings":
        """What `asdict` made of settings."""
        known = {key: value for key, value in stored.items() if key in cls.__dataclass_fields__}
        return cls(**{**known, "shape": Shape(**stored["shape"])})  # type: ignore[arg-type]


SEMANTIC_SETTINGS = SemanticSettings()
"""What `lethe train --backbone semantic-ids` begins with."""


@dataclass(frozen=True, slots=True)
class TrainedIds:
    """A fitted recommender, the epoch its state was taken from, and NDCG@10 on validation by epoch."""

    backbone: SemanticIds
    epoch: int
    curve: tuple[tuple[int, float], ...] = ()


class SemanticIdFitter:
    """Fits ids and decoder. Ids descend from item texts alone, the decoder from the histories too."""

    def __init__(self, settings: SemanticSettings) -> None:
        self._settings = settings

    def settings(self) -> dict[str, object]:
        """What the manifest records beside seed and data epoch."""
        return asdict(self._settings)

    def tokenizer(self, vectors: NDArray[np.floating], *, seed: int) -> Tokenizer:
        """Codebooks over text vectors [items, d]."""
        chosen = self._settings
        if chosen.quantiser == "rqvae":
            return RqVae(chosen.levels, chosen.width).fit(vectors, seed=seed)
        return ResidualKMeans(chosen.levels, chosen.width).fit(vectors, seed=seed)

    def fit(
        self,
        log: InteractionLog,
        vectors: NDArray[np.floating],
        *,
        seed: int,
        validation: HeldOut | None = None,
        progress: Progress = lambda done, total: None,
    ) -> TrainedIds:
        """Train on the rows of `log`; equal arguments give equal tensors on one machine and thread count.

        With `validation` the epoch with the best NDCG@10 is kept, and training stops when it no longer rises.
        """
        if len(log) == 0:
            raise LetheError("there are no interactions to train on: ingest some first")
        if len(vectors) != len(log.items):
            raise LetheError(f"{len(vectors)} text vectors for {len(log.items)} items: give one for each")
        tokenizer = self.tokenizer(vectors, seed=seed)
        table = numbered(tokenizer.codes, self._settings.width, self._settings.digits)
        return self.decoded(log, (tokenizer, table), seed=seed, validation=validation, progress=progress)

    def decoded(
        self,
        log: InteractionLog,
        ids: tuple[Tokenizer, CodeTable],
        *,
        seed: int,
        validation: HeldOut | None = None,
        progress: Progress = lambda done, total: None,
    ) -> TrainedIds:
        """The same for ids that are given: the decoder alone is fitted."""
        chosen, (tokenizer, table) = self._settings, ids
        judges = None if validation is None else _some(validation, chosen.judges, seed)
        best: tuple[float, int, Decoder | None] = (-1.0, 0, None)
        curve: list[tuple[int, float]] = []
        for epoch, decoder in _epochs(chosen, log, table, seed):
            progress(epoch, chosen.epochs)
            if judges is None:
                best = (0.0, epoch, decoder)
                continue
            if epoch % chosen.evaluate_every and epoch != chosen.epochs:
                continue
            there = SemanticIds(log.items, tokenizer, table, decoder, chosen.window)
            curve.append((epoch, float(served(there, judges, 10).ndcg.mean())))
            if curve[-1][1] > best[0]:
                best = (curve[-1][1], epoch, copy.deepcopy(decoder))
            elif epoch - best[1] >= chosen.patience * chosen.evaluate_every:
                break
        made = best[2]
        if made is None:  # no epoch was run: the settings allow none
            raise LetheError("training ended without an epoch")
        return TrainedIds(SemanticIds(log.items, tokenizer, table, made, chosen.window), best[1], tuple(curve))


def windows(histories: Sequence[IntArray], size: int, rng: np.random.Generator) -> list[IntArray]:
    """Every history in pieces of at most `size` items, cut from a place by lot, so that cuts differ by epoch."""
    found = []
    for history in histories:
        first = int(rng.integers(1, size + 1)) if len(history) > size else len(history)
        cuts = [0, *range(first, len(history), size), len(history)]
        found += [history[a:b] for a, b in pairwise(cuts) if b - a > 0]
    return found


def token_loss(decoder: Decoder, table: CodeTable, pieces: Sequence[IntArray]) -> Tensor:
    """Mean over items and tokens of −log p(token), each among the tokens of its level."""
    tokens, lengths = rows_of(table, pieces)
    states, _ = decoder(decoder.embed_tokens(tokens))
    return spoken(decoder, table, states[:, :-1], tokens[:, 1:], lengths - 1).mean()


def spoken(decoder: Decoder, table: CodeTable, states: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """−log p of each token [rows, n] after a state [rows, n, hidden] among its level's, of those within the lengths.

    One flat tensor, level by level. The first token of a row is of the first level.
    """
    losses, each = [], table.levels + 1
    inside = torch.arange(tokens.shape[1])[None] < lengths[:, None]
    for depth in range(each):
        own, there = inside[:, depth::each], span(table, depth)
        logits = states[:, depth::each][own] @ decoder.embed_tokens.weight[there].T
        losses.append(functional.cross_entropy(logits, tokens[:, depth::each][own] - there.start, reduction="none"))
    return torch.cat(losses)


def rate(chosen: SemanticSettings, step: int, done: float) -> float:
    """The learning rate of a step, from 0, with a share `done` of all epochs behind it.

    A share, because how many steps an epoch has depends on its cuts.
    """
    return chosen.learning_rate * min((step + 1) / max(1, chosen.warmup), 1 - 0.98 * done)


def _epochs(
    chosen: SemanticSettings, log: InteractionLog, table: CodeTable, seed: int
) -> Iterator[tuple[int, Decoder]]:
    histories = [once(history) for history in log.histories() if len(history)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder, state = Decoder(chosen.shape, table.vocabulary + 1), torch.get_rng_state()
    optimiser = torch.optim.AdamW(
        decoder.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay, betas=(0.9, 0.98), fused=True
    )
    rng, step = np.random.default_rng(seed), 0
    for epoch in range(1, chosen.epochs + 1):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            decoder.train()
            batches = list(_batches(windows(histories, chosen.window, rng), chosen.batch, rng))
            for place, pieces in enumerate(batches):
                done = (epoch - 1 + place / len(batches)) / chosen.epochs
                optimiser.param_groups[0]["lr"] = rate(chosen, step, done)
                optimiser.zero_grad()
                torch.autograd.backward(token_loss(decoder, table, pieces))
                torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
                optimiser.step()
                step += 1
            state = torch.get_rng_state()
        yield epoch, decoder.eval()


def _batches(pieces: list[IntArray], size: int, rng: np.random.Generator) -> Iterator[list[IntArray]]:
    """Pieces of like length together, the batches in an order by lot: little is padded."""
    noise = rng.random(len(pieces))
    order = sorted(range(len(pieces)), key=lambda place: (len(pieces[place]), noise[place]))
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    for place in rng.permutation(len(groups)).tolist():
        yield [pieces[one] for one in groups[place]]


def _some(questions: HeldOut, most: int, seed: int) -> HeldOut:
    if len(questions.people) <= most:
        return questions
    chosen = np.zeros(len(questions.people), dtype=np.bool_)
    chosen[np.random.default_rng(seed).permutation(len(chosen))[:most]] = True
    return questions.take(chosen)
