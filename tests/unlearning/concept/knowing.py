"""A toy model that knows a few facts: trained on them for a second, the same for every test."""

from collections.abc import Sequence
from functools import cache

import torch
from torch.nn.functional import cross_entropy

from llm.model import LanguageModel
from tests.llm.toys import toy_model
from unlearning.concept.base import Probe
from unlearning.concept.rows import Turn, answer_states, encode_rows, logits_of, one_batch


def knowing(asked: Sequence[Probe], *, steps: int = 60) -> LanguageModel:
    """A fresh model that gives most of these answers."""
    model = toy_model()
    model.model.load_state_dict(_learned(tuple((p.question, p.answers[0]) for p in asked), steps))
    return model


@cache
def _learned(facts: tuple[tuple[str, str], ...], steps: int) -> dict[str, torch.Tensor]:
    model = toy_model()
    weights = list(model.model.parameters())
    for weight in weights:
        weight.requires_grad_(True)
    batch = one_batch(encode_rows(model, [Turn(*fact) for fact in facts]), model.device)
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(logits_of(model, answer_states(model, batch)), batch.targets).backward()
        optimizer.step()
    return {name: value.clone() for name, value in model.model.state_dict().items()}
