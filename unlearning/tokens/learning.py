"""The loop that every method shares: batches, Adam on the decoder, a step along φ where there are offsets."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from recsys.candidates import IntArray
from recsys.semantic_ids.backbone import SemanticIds
from recsys.semantic_ids.codes import CodeTable
from recsys.semantic_ids.decoder import Decoder
from unlearning.tokens import losses
from unlearning.tokens.case import Case, Progress, TokenSettings
from unlearning.tokens.examples import Example, Examples
from unlearning.tokens.losses import Ids
from unlearning.tokens.offsets import Offsets, committed, popular_codes

Batch = tuple[list[IntArray], list[Example]]


@dataclass(frozen=True)
class Terms:
    """What an objective is made of, each a sum over the batch; what it does not read is never worked out."""

    decoder: Decoder
    base: Decoder
    """The one that forgot nothing."""
    ids: Ids
    stored: Ids
    """The ids before anything moved."""
    batch: Batch
    near: IntArray
    """Items beside each example's, [examples, K]."""

    @cached_property
    def retain(self) -> Tensor:
        """−log p of retained tokens."""
        return -losses.retained_log_p(self.decoder, self.ids, self.batch[0]).sum()

    @cached_property
    def asked(self) -> Tensor:
        """log p of each concept item that was asked for."""
        return self._said[0]

    @property
    def forget(self) -> Tensor:
        """log p of the concept's codes."""
        return self.asked.sum()

    @property
    def coherence(self) -> Tensor:
        """−log p of items near to them, over K."""
        beside: Tensor = -self._said[1].sum() / self.near.shape[1]
        return beside

    @cached_property
    def reference(self) -> Tensor:
        """What `asked` is by the model that forgot nothing."""
        with torch.no_grad():
            return losses.asked_log_p(self.base, self.stored, *self._examples, self.near[:, :1])[0]

    @cached_property
    def _said(self) -> tuple[Tensor, Tensor]:
        return losses.asked_log_p(self.decoder, self.ids, *self._examples, self.near)

    @property
    def _examples(self) -> tuple[list[IntArray], list[int]]:
        return [one.before for one in self.batch[1]], [one.target for one in self.batch[1]]


Objective = Callable[[Terms, TokenSettings], Tensor]
"""The loss of a batch. What weighs an offset's size is added to it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is learned: the decoder (θ), the offsets (φ), or both; and whether the mask confines φ."""

    objective: Objective
    decoder: bool = True
    offsets: bool = False
    masked: bool = True


@dataclass(frozen=True)
class Learned:
    """A decoder, the ids it speaks, and how the loss went."""

    decoder: Decoder
    table: CodeTable
    facts: dict[str, float]


def learn(case: Case, plan: Plan, settings: TokenSettings, *, seed: int, progress: Progress) -> Learned:
    """Learn by `settings.steps` batches, then commit: offsets become codes, codes a new table. Nothing of the case
    changes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        work = _Work(case, plan, settings)
        examples, rng = Examples.of(case), np.random.default_rng(seed)
        batches = examples.batches(settings.retained, settings.asked, rng)
        for step in range(settings.steps):
            work.step(next(batches), settings.cooled(step))
            progress(step + 1, settings.steps)
    table = case.model.table
    if work.offsets is not None:
        table = committed(table, case.concept, work.offsets)
    return Learned(work.decoder.eval(), table, work.facts())


class _Work:
    """A training in progress."""

    def __init__(self, case: Case, plan: Plan, settings: TokenSettings) -> None:
        self._plan, self._settings, self._base = plan, settings, case.model.decoder
        self.decoder = copy.deepcopy(case.model.decoder).eval()
        for tensor in self.decoder.parameters():
            tensor.requires_grad_(plan.decoder)
        rate = settings.learning_rate
        self._adam = torch.optim.Adam(self.decoder.parameters(), lr=rate) if plan.decoder else None
        self.offsets = Offsets.of(case.model.tokenizer, case.concept) if plan.offsets else None
        self._popular = torch.from_numpy(popular_codes(case.model.table, case.retained))[:, None]
        self._hard = Ids(case.model.table, case.concept)
        self._near = case.near(settings.neighbours)
        self._loss = [0.0, 0.0]

    def step(self, batch: Batch, temperature: float) -> None:
        """One batch."""
        ids = self._ids(temperature)
        terms = self._terms(ids, batch)
        loss = self._plan.objective(terms, self._settings)
        if self.offsets is not None:
            forgetting = torch.autograd.grad(terms.forget, self.offsets.phi, retain_graph=True)[0]
            whole = loss + self._settings.size * self.offsets.phi.abs().sum()
            self._descend(whole)
            self._move(forgetting)
        else:
            self._descend(loss)
        self._loss[1] = float(loss.detach())
        self._loss[0] = self._loss[0] or self._loss[1]

    def facts(self) -> dict[str, float]:
        """The loss of the first batch and of the last, and how far φ went."""
        far = 0.0 if self.offsets is None else float(self.offsets.phi.detach().abs().max())
        return {"first_loss": self._loss[0], "last_loss": self._loss[1], "largest_offset": far}

    def _descend(self, loss: Tensor) -> None:
        if self._adam is not None:
            self._adam.zero_grad()
        torch.autograd.backward(loss)
        if self._adam is not None:
            torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
            self._adam.step()

    def _move(self, forgetting: Tensor) -> None:
        """φ by its own gradient; without the mask every entry moves."""
        offsets = self.offsets
        if offsets is None or offsets.phi.grad is None:
            return
        popular = self._popular
        if not self._plan.masked:
            popular, forgetting = torch.ones_like(popular), torch.ones_like(forgetting)
        offsets.step(offsets.phi.grad, forgetting, popular, self._settings.offset_rate)
        offsets.phi.grad = None

    def _ids(self, temperature: float) -> Ids:
        if self.offsets is None:
            return self._hard
        shares = self.offsets.shares(temperature)
        soft = self.offsets.embedded(self.decoder, self._hard.table, shares)
        return replace(self._hard, soft=soft, shares=shares)

    def _terms(self, ids: Ids, batch: Batch) -> Terms:
        near = losses.neighbours_of(self._near, [one.target for one in batch[1]])
        return Terms(self.decoder, self._base, ids, self._hard, batch, near)


def rebuilt(case: Case, decoder: Decoder, table: CodeTable) -> SemanticIds:
    """A recommender of the same items and codebooks; decoder, ids and trie are exchanged together or not at all."""
    return SemanticIds(case.model.items, case.model.tokenizer, table, decoder, case.model.window)
