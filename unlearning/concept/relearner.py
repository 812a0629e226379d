"""Attackers inside the fit: each relearns half of a concept's facts, and the other half must not come back.

Adversarial training against relearning, first order: some attackers are trained in turn beside the adapter, which is
asked, with the attacker acting, for the facts that this one was not taught. After its life an attacker is drawn anew
and given another half; with several of every age the adapter cannot settle on what withstands one. After
tamper-resistant safeguards (Tamirisa et al. 2024), whose attackers tune all weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from db.errors import LetheError
from llm.adapter_file import lora_config
from llm.adapters import acting, inject, projections_of, remove, use
from llm.model import LanguageModel
from unlearning.concept.in_training import at_strength
from unlearning.concept.losses import excess, log_softmax
from unlearning.concept.rows import Batch, answer_states, logits_of, one_batch
from unlearning.concept.settings import FACED, ConceptSettings, LossName
from unlearning.concept.study import Part, Study

NAME = "relearner"

RANK, ALPHA, RATE = 8, 16.0, 2e-3
"""Of an attacker's LoRA, which is on every projection; AdamW without decay."""
COUNT = 6
"""Attackers; one of them, in turn, in each step of the adapter."""
LEARNED = 2
"""Steps that an attacker takes in its turn."""
LIVES = (30, 60)
"""Steps of its own after which an attacker is drawn anew: some number between these."""
WEIGHT = 4.0
"""Of what comes back, in nats a token, in the adapter's loss (docs/experiments.md)."""


@dataclass(slots=True)
class _Attacker:
    """The weights of one, which lie on the model in its turn, and what it is at."""

    tensors: list[Tensor]
    optimizer: torch.optim.Optimizer
    halves: tuple[list[int], list[int]]
    """Numbers of the units that it is taught, and of those that must not come back."""
    left: int
    """Steps of its life."""


class Relearner:
    """Put on a model beside the adapter in training by `relearner`; an attacker acts within its own steps alone."""

    def __init__(self, model: LanguageModel, study: Study, settings: ConceptSettings, *, seed: int) -> None:
        self._model, self._study, self._settings = model, study, settings
        self._rng = np.random.default_rng([seed, 31])
        free, before = self._trained(), acting(model.model)
        self._layers = inject(model.model, lora_config(projections_of(model.model), rank=RANK, alpha=ALPHA), NAME)
        self._weights = [side[NAME].weight for layer in self._layers.values() for side in (layer.lora_A, layer.lora_B)]
        self._use(before, free)
        self._attackers = [self._drawn() for _ in range(COUNT)]

    def loss(self, step: int) -> Tensor:
        """Nats a token by which facts that an attacker was not taught are likelier than under titles that do not
        exist, times `WEIGHT`, after it has taken its steps; to be differentiated by the adapter alone, which acts at
        `FACED` of its strength.
        """
        attacker = self._turn_of(step % COUNT)
        taught, asked = attacker.halves
        with self._acting(), at_strength(self._model.model, FACED):
            for _ in range(LEARNED):
                self._learn(self._batch(self._some(taught)), attacker.optimizer)
            units = self._some(asked)
            batch = self._batch(units)
            spread = log_softmax(logits_of(self._model, answer_states(self._model, batch)))
        with torch.no_grad():
            base = torch.cat([self._study.kept_base[units[number]][0] for number in batch.rows])
            ceiling = log_softmax(logits_of(self._model, base))
        return WEIGHT * excess(spread, ceiling, batch.targets)

    def _turn_of(self, place: int) -> _Attacker:
        """The attacker at a place, on the model; another in its place where its life is over."""
        if self._attackers[place].left <= 0:
            self._attackers[place] = self._drawn()
        attacker = self._attackers[place]
        attacker.left -= LEARNED
        for weight, own in zip(self._weights, attacker.tensors, strict=True):
            weight.data = own
        return attacker

    def _drawn(self) -> _Attacker:
        """A new attacker, with halves of the facts of its own."""
        tensors = []
        for layer in self._layers.values():
            a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
            bound = a.shape[1] ** -0.5
            drawn = torch.from_numpy(self._rng.uniform(-bound, bound, size=tuple(a.shape)))
            tensors += [drawn.to(a), torch.zeros_like(b)]
        optimizer = torch.optim.AdamW(self._weights, lr=RATE, weight_decay=0.0)
        first, last = LIVES
        return _Attacker(tensors, optimizer, halved(self._study, self._rng), int(self._rng.integers(first, last + 1)))

    def _learn(self, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
        for weight in self._weights:
            weight.requires_grad_(True)
        loss = cross_entropy(logits_of(self._model, answer_states(self._model, batch)).float(), batch.targets)
        for weight, slope in zip(self._weights, torch.autograd.grad(loss, self._weights), strict=True):
            weight.grad = slope
        optimizer.step()
        self._freeze()

    def _some(self, units: Sequence[int]) -> list[int]:
        """As many of the units as a step asks."""
        return [units[at] for at in self._rng.permutation(len(units))[: self._settings.unknown_rows]]

    def _batch(self, units: Sequence[int]) -> Batch:
        return one_batch([self._study.kept[unit][0] for unit in units], self._model.device)

    def _freeze(self) -> None:
        for weight in self._weights:
            weight.requires_grad_(False)
            weight.grad = None

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """The attacker acts beside what acts already; whose weights are trained does not change."""
        free, before = self._trained(), acting(self._model.model)
        self._use([*before, NAME], free)
        try:
            yield
        finally:
            self._use(before, free)

    def _trained(self) -> set[int]:
        return {id(weight) for weight in self._model.model.parameters() if weight.requires_grad}

    def _use(self, names: Sequence[str], free: set[int]) -> None:
        use(self._model.model, names)
        for weight in self._model.model.parameters():
            weight.requires_grad_(id(weight) in free)


@contextmanager
def relearner(
    model: LanguageModel, study: Study, settings: ConceptSettings, *, seed: int
) -> Iterator[Relearner | None]:
    """Within the context an attacker stands ready; none beside another loss.

    Raises LetheError where the concept's facts cannot be halved.
    """
    if settings.loss is not LossName.RESISTED_ASCENT:
        yield None
        return
    if not all(halved(study, np.random.default_rng(0))):
        told = len({name for name in study.subjects if name})
        raise LetheError(
            f"{settings.loss.value}: {told} of the concept's facts can be taught apart, an attacker needs 2: "
            f"use {LossName.BOUNDED_ASCENT.value}"
        )
    opponent = Relearner(model, study, settings, seed=seed)
    try:
        yield opponent
    finally:
        remove(model.model, NAME)


def halved(study: Study, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Numbers of the units of one half of the concept's facts, and of the other: no subject is in both."""
    units = study.units_of(Part.UNKNOWN_FACT)
    named = sorted({name for name in study.subjects if name})
    first = {named[at] for at in rng.permutation(len(named))[: len(named) // 2]}
    pairs = [(unit, name) for unit, name in zip(units, study.subjects, strict=True) if name]
    return [unit for unit, name in pairs if name in first], [unit for unit, name in pairs if name not in first]
