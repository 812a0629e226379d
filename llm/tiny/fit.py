"""Training of lethe-tiny: a constant rate that falls linearly at the end, and a running mean of the weights."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial, reduce

import torch
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from llm.tiny import encode
from llm.tiny.encode import Batch, Encoder
from llm.tiny.examples import Lesson
from llm.tiny.muon import Muon


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the model is trained; the same settings, items, device and thread count give the same weights."""

    steps: int = 3000
    seed: int = 0
    matrix_rate: float = 5e-3
    """Of Muon, for matrices."""
    rate: float = 3e-3
    """Of AdamW, for the rest."""
    comparing: int = 150
    """Steps at the beginning in which attention is left to AdamW: under Muon it never learns to compare."""
    warmup: int = 30
    decay: float = 0.3
    """The share of the steps, at the end, over which the rate falls to nothing; 0 for a rate that stays."""
    averaging: float = 0.99

    def factor(self, step: int) -> float:
        """What the rates are multiplied by at a step, from 0."""
        falling = (self.steps - step) / (self.decay * self.steps) if self.decay else 1.0
        return min(1.0, (step + 1) / self.warmup, falling)


@dataclass(frozen=True, slots=True)
class FitState:
    """The model after some steps: the running mean of the weights, in evaluation mode."""

    model: Qwen2ForCausalLM
    step: int
    steps: int
    tokens: int
    loss: float
    """Of this step, in nats a weighted token."""
    seconds: float


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    """A Qwen2 model of 4 layers of 256 with tied embeddings: about 3.4 million parameters, float32."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model: Qwen2ForCausalLM = Qwen2ForCausalLM._from_config(config, attn_implementation="sdpa")
    return model


def loss_of(model: Qwen2ForCausalLM, data: Batch, device: torch.device) -> torch.Tensor:
    """Weighted sum of the cross-entropies of a batch; logits are formed only where a target weighs something."""
    ids, positions, mask = (torch.from_numpy(part).to(device) for part in (data.ids, data.positions, data.mask))
    hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=mask[:, None], use_cache=False)[0]
    targets = torch.from_numpy(data.weights.reshape(-1).nonzero()[0]).to(device)
    weights = torch.from_numpy(data.weights).to(device).flatten().index_select(0, targets)
    # A weighted token never opens a branch, so the token before it in the row is the one that predicts it.
    logits = model.lm_head(hidden.flatten(0, 1).index_select(0, targets - 1)).float()
    losses = cross_entropy(logits, ids.flatten().index_select(0, targets), reduction="none")
    return (losses * weights).sum()


def _adamw(others: list[torch.nn.Parameter], attention: list[torch.nn.Parameter], rate: float) -> Optimizer:
    """Attention decays; embeddings do not, for a rare title would fade before it comes again."""
    groups = [{"params": others, "weight_decay": 0.0}, {"params": attention, "weight_decay": 0.05}]
    return AdamW([group for group in groups if group["params"]], rate, betas=(0.9, 0.98))


class Fitter:
    """Trains a model on a corpus: a new one, or `start`, whose vocabulary must be the tokenizer's.

    `workers` threads take the batches of a step, and the matrices of an update, as each becomes free; sums are formed
    in a fixed order, so that the result does not depend on who did what. Leave torch one thread of its own
    (`torch.set_num_threads(1)`): two that wait for each other at every operation do less on a shared machine.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        settings: FitSettings,
        device: torch.device,
        start: Qwen2ForCausalLM | None = None,
        *,
        workers: int = 1,
    ) -> None:
        self.settings = settings
        self.device = device
        self._encoder = Encoder(tokenizer)
        self._model = (start or new_model(tokenizer, settings.seed)).to(device).train()
        self._mean = deepcopy(self._model).eval()
        self._pool = ThreadPoolExecutor(workers)
        named = dict(self._model.named_parameters())
        attention = [p for name, p in named.items() if ".self_attn." in name and p.ndim == 2]
        feed = [p for name, p in named.items() if ".mlp." in name]
        others = [p for p in named.values() if not any(p is q for q in (*attention, *feed))]
        rate, spread = settings.matrix_rate, self._pool.map
        self._early = _adamw(others, attention, settings.rate), Muon(feed, rate, spread=spread)
        self._late = _adamw(others, [], settings.rate), Muon([*feed, *attention], rate, spread=spread)

    def run(self, corpus: Iterable[Lesson], *, minutes: float | None = None) -> Iterator[FitState]:
        """The state after every step.

        With `minutes`, the fall of the rate begins when its share of that time is left: the number of steps is fixed
        then, is told in the states, and gives the same model again when asked for as `steps`.
        """
        began, tokens, step = time.monotonic(), 0, 0
        lessons = iter(corpus)
        while step < self.settings.steps:
            if minutes and time.monotonic() - began > 60 * minutes * (1 - self.settings.decay):
                self.settings = replace(self.settings, steps=self._steps_if_falling_from(step))
                minutes = None
            data = encode.batches(self._encoder.encode(example) for example in next(lessons) if example.turns)
            loss = self._step(data, step)
            step, tokens = step + 1, tokens + sum(part.ids.size for part in data)
            yield FitState(self._mean, step, self.settings.steps, tokens, loss, time.monotonic() - began)

    def _steps_if_falling_from(self, step: int) -> int:
        return min(self.settings.steps, max(step + 1, round(step / (1 - self.settings.decay))))

    def _step(self, data: list[Batch], step: int) -> float:
        total = float(sum(part.weights.sum() for part in data))
        largest_first = sorted(data, key=lambda part: -part.ids.size)
        found = list(self._pool.map(partial(self._gradients, total=total), largest_first))
        for weight, *parts in zip(self._model.parameters(), *(gradients for _, gradients in found), strict=True):
            weight.grad = reduce(torch.add, parts)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        rates = (self.settings.rate, self.settings.matrix_rate)
        for optimizer, rate in zip(self._early if step < self.settings.comparing else self._late, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.settings.factor(step)
            optimizer.step()
        self._average(step)
        return sum(loss for loss, _ in found)

    def _gradients(self, part: Batch, total: float) -> tuple[float, tuple[torch.Tensor, ...]]:
        """A batch's share of the loss, and its gradients in the order of the parameters."""
        with torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext():
            loss = loss_of(self._model, part, self.device) / total
        return float(loss.detach()), torch.autograd.grad(loss, list(self._model.parameters()))

    @torch.no_grad()
    def _average(self, step: int) -> None:
        weight = 1 - min(self.settings.averaging, step / (step + 10))
        for mean, new in zip(self._mean.parameters(), self._model.parameters(), strict=True):
            mean.lerp_(new, weight)
