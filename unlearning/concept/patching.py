"""States of one model read layer by layer, put into another, or read through the last norm and the output matrix."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llm.model import LanguageModel
from unlearning.concept.losses import log_softmax
from unlearning.concept.rows import Batch, Row, answer_states, batches, hidden_states, logits_of

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class States:
    """A model's states after each layer at the own tokens of rows, one row after another: [tokens, hidden] each."""

    layers: tuple[Tensor, ...]
    starts: tuple[int, ...]
    """Where each row begins."""


@torch.inference_mode()
def states_of(model: LanguageModel, rows: Sequence[Row]) -> States:
    """Read them in passes over the rows; the chat head, which all share, is left out."""
    starts = tuple(np.cumsum([0, *(row.own for row in rows)]).tolist())
    layers = _layers(model)
    found: list[Tensor | None] = [None] * len(layers)
    for batch in batches(rows, model.device):
        places, inside = _places(batch, rows, starts)
        with _listening(layers) as heard:
            hidden_states(model, batch)
        for number, states in enumerate(heard):
            taken = states.flatten(0, 1)[inside]
            held = found[number]
            if held is None:
                held = found[number] = taken.new_empty(starts[-1], taken.shape[1])
            held[places] = taken
    return States(tuple(part for part in found if part is not None), starts[:-1])


def _layers(model: LanguageModel) -> list[nn.Module]:
    return list(model.model.get_decoder().layers)


def _places(batch: Batch, rows: Sequence[Row], starts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Of a batch's own tokens: their places among all rows' tokens, and in the batch as if it were flat."""
    inside = (batch.owner.flatten() >= 0).nonzero()[:, 0]
    first = torch.tensor([starts[number] for number in batch.rows], device=inside.device)
    split = torch.tensor([len(rows[number].shared) for number in batch.rows], device=inside.device)
    owner = batch.owner.flatten()[inside]
    return first[owner] + batch.positions.flatten()[inside] - split[owner], inside


@contextmanager
def _listening(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """What layers give, in the order in which they are passed."""
    heard: list[Tensor] = []
    with ExitStack() as stack:
        for layer in layers:
            hook = layer.register_forward_hook(lambda _module, _given, said: heard.append(_states(said)))
            stack.callback(hook.remove)
        yield heard


def _states(said: Any) -> Tensor:
    states: Tensor = said if isinstance(said, Tensor) else said[0]
    return states


@torch.inference_mode()
def falls(base: LanguageModel, rows: Sequence[Row], patch: States) -> FloatArray:
    """What putting a patch in at each layer costs the rows' answers: nats a token, mean over rows, [layers]."""
    before = per_token(base, rows)
    costs = []
    for number, layer in enumerate(_layers(base)):
        total = np.zeros(len(rows))
        for batch in batches(rows, base.device):
            places, inside = _places(batch, rows, patch.starts)
            with _patched(layer, inside, patch.layers[number][places]):
                total[list(batch.rows)] = _likelihoods(base, batch, answer_states(base, batch))
        costs.append(float((before - total).mean()))
    return np.array(costs)


@contextmanager
def _patched(layer: nn.Module, inside: Tensor, states: Tensor) -> Iterator[None]:
    """Within the context the layer gives these states at these flat places."""

    def _put(_module: nn.Module, _given: Any, said: Any) -> Any:
        whole = _states(said)
        changed = whole.flatten(0, 1).index_copy(0, inside, states.to(whole.dtype)).view_as(whole)
        return changed if isinstance(said, Tensor) else (changed, *said[1:])

    hook = layer.register_forward_hook(_put)
    try:
        yield
    finally:
        hook.remove()


def _likelihoods(model: LanguageModel, batch: Batch, states: Tensor) -> FloatArray:
    """Mean log-probability of each row's answer tokens, in the order of `batch.rows`."""
    spread = log_softmax(logits_of(model, states)).gather(1, batch.targets[:, None])[:, 0].double()
    owner = batch.target_owner
    sums = spread.new_zeros(len(batch.rows)).index_add(0, owner, spread)
    means: FloatArray = (sums / torch.bincount(owner, minlength=len(batch.rows))).cpu().numpy()
    return means


@torch.inference_mode()
def per_token(model: LanguageModel, rows: Sequence[Row]) -> FloatArray:
    """Mean log-probability of each row's answer tokens, nats, float64 [rows]."""
    found = np.zeros(len(rows))
    for batch in batches(rows, model.device):
        found[list(batch.rows)] = _likelihoods(model, batch, answer_states(model, batch))
    return found


@torch.inference_mode()
def lens(base: LanguageModel, rows: Sequence[Row], states: States) -> FloatArray:
    """Log-probability of the answers read from each layer's states, nats a token, mean over rows, [layers]."""
    norm = base.model.get_decoder().norm
    found = np.zeros((len(states.layers), len(rows)))
    for batch in batches(rows, base.device):
        places, inside = _places(batch, rows, states.starts)
        where = torch.zeros(batch.owner.numel(), dtype=torch.long, device=inside.device)
        where[inside] = places
        at = where[batch.places]
        for number, layer in enumerate(states.layers):
            found[number, list(batch.rows)] = _likelihoods(base, batch, norm(layer[at]))
    means: FloatArray = found.mean(1)
    return means
