"""The weights of the base beneath whatever adapters it carries: read their gradients, or scale some for a while."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from db.errors import LetheError
from llm.model import LanguageModel
from unlearning.concept.base import Progress, quiet
from unlearning.concept.rows import Row, answer_states, logits_of, one_batch


@dataclass(frozen=True, slots=True)
class Scaling:
    """Factors for some entries of one weight: places in it as if it were flat, int64, and float32 factors."""

    places: Tensor
    factors: Tensor


def base_weights(model: Any) -> dict[str, nn.Parameter]:
    """Every weight of the base by its name there, tied ones once; an adapter's are left out."""
    return {
        name.replace(".base_layer.", "."): weight for name, weight in model.named_parameters() if ".lora_" not in name
    }


def fisher(model: LanguageModel, rows: Sequence[Row], *, progress: Progress = quiet) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information: the mean over rows of the squared gradient of log p(answer).

    float32 in the shape of each weight. One row a pass: the square of a sum is no sum of squares.
    """
    weights = base_weights(model.model)
    totals = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()}
    with _learning(list(weights.values())):
        for done, row in enumerate(rows, 1):
            batch = one_batch([row], model.device)
            logits = logits_of(model, answer_states(model, batch)).float()
            cross_entropy(logits, batch.targets, reduction="sum").backward()  # type: ignore[no-untyped-call]
            for name, weight in weights.items():
                if weight.grad is not None:
                    totals[name] += weight.grad.float().square() / len(rows)
                    weight.grad = None
            progress(done, len(rows))
    return totals


@contextmanager
def _learning(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Within the context these weights get gradients; after it they have none, and ask for them as before."""
    before = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for weight, asked in zip(weights, before, strict=True):
            weight.grad = None
            weight.requires_grad_(asked)


@contextmanager
def scaled(model: Any, scalings: Mapping[str, Scaling]) -> Iterator[None]:
    """Within the context the entries are multiplied by their factors; after it their old bits are back."""
    weights = base_weights(model)
    unknown = sorted(scalings.keys() - weights.keys())
    if unknown:
        raise LetheError(f"the model has no weight {unknown[0]}: use the one that the forgetting was fitted on")
    held = []
    try:
        for name, scaling in scalings.items():
            flat, places = weights[name].data.view(-1), scaling.places.to(weights[name].device)
            before = flat[places]
            held.append((flat, places, before))
            flat[places] = (before.float() * scaling.factors.to(before.device)).to(before.dtype)
        yield
    finally:
        for flat, places, before in reversed(held):
            flat[places] = before
