"""Training of lethe-tiny: a constant rate that falls linearly at the end, and a running mean of the weights."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from llm.tiny import encode
from llm.tiny.corpus import Corpus
from llm.tiny.encode import Batch, Encoder
from llm.tiny.muon import Muon


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the model is trained; the same settings, items, device and thread count give the same weights."""

    steps: int = 3000
    seed: int = 0
    tokens: int = 2048
    """About so many tokens in a step."""
    matrix_rate: float = 5e-3
    """Of Muon, for matrices."""
    rate: float = 2.5e-3
    """Of AdamW, for the rest."""
    comparing: int = 150
    """Steps at the beginning in which attention is left to AdamW: under Muon it never learns to compare."""
    warmup: int = 30
    decay: float = 0.3
    """The share of the steps, at the end, over which the rate falls to nothing."""
    averaging: float = 0.99

    def factor(self, step: int) -> float:
        """What the rates are multiplied by at a step, from 0."""
        return min(1.0, (step + 1) / self.warmup, (self.steps - step) / (self.decay * self.steps))


@dataclass(frozen=True, slots=True)
class FitState:
    """The model after some steps: the running mean of the weights, in evaluation mode."""

    model: Qwen2ForCausalLM
    step: int
    steps: int
    examples: int
    """Examples of the corpus that were read."""
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


def _adamw(weights: list[torch.nn.Parameter], rate: float) -> Optimizer:
    return AdamW(weights, rate, betas=(0.9, 0.98), weight_decay=0.05)


class Fitter:
    """Trains a model on a corpus: a new one, or `start`, whose vocabulary must be the tokenizer's."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        settings: FitSettings,
        device: torch.device,
        start: Qwen2ForCausalLM | None = None,
    ) -> None:
        self.settings = settings
        self.device = device
        self._encoder = Encoder(tokenizer)
        self._model = (start or new_model(tokenizer, settings.seed)).to(device).train()
        self._mean = deepcopy(self._model).eval()
        named = dict(self._model.named_parameters())
        attention = [p for name, p in named.items() if ".self_attn." in name and p.ndim == 2]
        feed = [p for name, p in named.items() if ".mlp." in name]
        others = [p for p in named.values() if not any(p is q for q in (*attention, *feed))]
        self._early = _adamw([*others, *attention], settings.rate), Muon(feed, settings.matrix_rate)
        self._late = _adamw(others, settings.rate), Muon([*feed, *attention], settings.matrix_rate)

    def run(self, corpus: Corpus, *, minutes: float | None = None) -> Iterator[FitState]:
        """The state after every step.

        With `minutes`, the fall of the rate begins when its share of that time is left: the number of steps is fixed
        then, is told in the states, and gives the same model again when asked for as `steps`.
        """
        began, examples, tokens, step = time.monotonic(), 0, 0, 0
        batches = encode.steps(map(self._encoder.encode, corpus), self.settings.tokens)
        while step < self.settings.steps:
            if minutes and time.monotonic() - began > 60 * minutes * (1 - self.settings.decay):
                self.settings = replace(self.settings, steps=self._steps_if_falling_from(step))
                minutes = None
            data = next(batches)
            loss = self._step(data, step)
            step, examples = step + 1, examples + sum(len(part.ids) for part in data)
            tokens += sum(part.ids.size for part in data)
            yield FitState(self._mean, step, self.settings.steps, examples, tokens, loss, time.monotonic() - began)

    def _steps_if_falling_from(self, step: int) -> int:
        return min(self.settings.steps, max(step + 1, round(step / (1 - self.settings.decay))))

    def _step(self, data: list[Batch], step: int) -> float:
        total = float(sum(part.weights.sum() for part in data))
        loss = 0.0
        for part in data:
            with torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext():
                part_loss = loss_of(self._model, part, self.device) / total
            part_loss.backward()  # type: ignore[no-untyped-call]
            loss += float(part_loss.detach())
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        rates = (self.settings.rate, self.settings.matrix_rate)
        for optimizer, rate in zip(self._early if step < self.settings.comparing else self._late, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.settings.factor(step)
            optimizer.step()
        self._model.zero_grad()
        self._average(step)
        return loss

    @torch.no_grad()
    def _average(self, step: int) -> None:
        weight = 1 - min(self.settings.averaging, step / (step + 10))
        for mean, new in zip(self._mean.parameters(), self._model.parameters(), strict=True):
            mean.lerp_(new, weight)
