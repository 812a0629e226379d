"""Relearning: a few steps of training bring a concept back where it was only hidden.

What is taught are some of the concept's own facts, half of them with the other half asked, or facts that have nothing
to do with it. Rate, batch and steps are the same for a forgetting and for the oracle it is compared with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from db.errors import LetheError
from llm.model import LanguageModel
from unlearning.concept.attacks.outcome import Outcome, ask_all
from unlearning.concept.attacks.trainable import Way, trainable
from unlearning.concept.base import Forgetting, Probe, Progress, quiet
from unlearning.concept.rows import Turn, answer_states, encode_rows, logits_of, one_batch


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attacker spends."""

    steps: tuple[int, ...] = (1, 5, 10, 20, 50, 100)
    """After how many steps the model is asked."""
    rate: float = 1e-3
    """AdamW's, constant, without weight decay."""
    rows: int = 16
    """Examples in a step; fewer where there are fewer."""
    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise LetheError(f"relearning steps {self.steps}: give ascending numbers from 1")


USUAL = Budget()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One relearning attack: what is taught, and what is asked."""

    name: str
    taught: tuple[Probe, ...]
    asked: tuple[Probe, ...]

    def __post_init__(self) -> None:
        if not self.taught or not self.asked:
            raise LetheError(
                f"{self.name}: {len(self.taught)} facts taught, {len(self.asked)} asked: each needs one at least"
            )


def relearn(
    model: LanguageModel,
    forgetting: Forgetting,
    attempt: Attempt,
    budget: Budget = USUAL,
    *,
    way: Way = Way.FRESH,
    seed: int,
    progress: Progress = quiet,
) -> tuple[Outcome, ...]:
    """The outcome before the first step and after each of the budget's; nothing where the way does not apply.

    The model and the forgetting are afterwards as they were.
    """
    with (
        forgetting.applied(model) as changed,
        trainable(changed.model, way, rank=budget.rank, alpha=budget.alpha, seed=seed) as weights,
    ):
        if not weights:
            return ()
        found = [ask_all(changed, attempt.asked, attempt.name, way.value)]
        for step in _steps(changed, attempt.taught, weights, budget, seed):
            progress(step, budget.steps[-1])
            if step in budget.steps:
                found.append(ask_all(changed, attempt.asked, attempt.name, way.value, steps=step))
        return tuple(found)


def _steps(
    model: LanguageModel, taught: Sequence[Probe], weights: Sequence[Tensor], budget: Budget, seed: int
) -> Iterator[int]:
    """Take a step, and say how many have been taken."""
    rows = encode_rows(model, [Turn(probe.question, probe.answers[0], begun=probe.begun) for probe in taught])
    hands = _hands(len(rows), min(budget.rows, len(rows)), seed)
    optimizer = torch.optim.AdamW(weights, lr=budget.rate, weight_decay=0.0)
    for step in range(budget.steps[-1]):
        batch = one_batch([rows[number] for number in next(hands)], model.device)
        with torch.enable_grad():
            logits = logits_of(model, answer_states(model, batch)).float()
            loss = cross_entropy(logits, batch.targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield step + 1


def _hands(size: int, hand: int, seed: int) -> Iterator[list[int]]:
    """So many numbers below `size` at a time, in an order drawn anew each time all have come."""
    rng = np.random.default_rng([seed, 25])
    left: list[int] = []
    while True:
        while len(left) < hand:
            left += rng.permutation(size).tolist()
        yield left[:hand]
        left = left[hand:]
