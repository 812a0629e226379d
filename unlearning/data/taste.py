"""A taste adapter: LoRA fine-tuned on what people met, so that the model judges as these people would.

It descends from their rows. Nothing can be taken out of its matrices row by row: who forgets a person trains it anew
without them, with a fresh seed, as every backbone is retrained. Nothing is served with it; `lethe drift --taste` asks
what of a person's preferences is left where it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from db.errors import LetheError
from db.log import InteractionLog
from db.records import Item, UserId
from llm.adapter_file import lora_config
from llm.adapters import inject, remove, use
from llm.model import LanguageModel
from llm.prompt import NO, YES, judge
from retrieval.context import Context
from unlearning.concept.base import Progress, quiet
from unlearning.concept.judgement import leanings
from unlearning.concept.rows import Turn, answer_states, encode_rows, logits_of, one_batch

NAME = "taste"
NEAR = 10
"""An item that was not met is drawn among so many of the closest popularity."""
PROJECTIONS = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True)
class TasteSettings:
    """How a taste adapter is trained."""

    rank: int = 8
    alpha: float = 16.0
    rate: float = 2e-3
    steps: int = 120
    people: int = 4
    """In a step."""
    pairs: int = 4
    """Items of each person in a step, each beside one that the person never met."""
    length: int = 12
    """Of the history that is shown, without those items."""

    def __post_init__(self) -> None:
        if min(self.rank, self.steps, self.people, self.pairs, self.length) < 1 or not self.rate > 0:
            raise LetheError(f"{self} cannot be trained: counts must be at least 1, the rate above 0")


@dataclass(frozen=True, slots=True)
class Taste:
    """What one person met, oldest first, and beside each item one of like popularity that they never met."""

    met: tuple[Item, ...]
    beside: tuple[Item, ...]

    def asked(self, pairs: Sequence[int], length: int) -> Context:
        """The person's history without some of its items; these, then what stands beside them, as candidates."""
        chosen = set(pairs)
        history = [item for place, item in enumerate(self.met) if place not in chosen]
        candidates = (*(self.met[place] for place in pairs), *(self.beside[place] for place in pairs))
        return Context(UserId("somebody"), tuple(history[-length:] if length else ()), candidates)


def tastes(log: InteractionLog, items: Sequence[Item], *, seed: int) -> tuple[Taste | None, ...]:
    """One for each person row of a log; None for who met nothing, or all there is."""
    order = np.argsort(-np.bincount(log.item, minlength=len(items)), kind="stable")
    rank = np.empty(len(items), dtype=np.int64)
    rank[order] = np.arange(len(items))
    return tuple(
        _taste(history, order, rank, items, np.random.default_rng([seed, 41, row]))
        for row, history in enumerate(log.histories())
    )


def _taste(
    history: NDArray[np.int64],
    order: NDArray[np.int64],
    rank: NDArray[np.int64],
    items: Sequence[Item],
    rng: np.random.Generator,
) -> Taste | None:
    met = np.zeros(len(items), dtype=bool)
    met[history] = True
    free = order[~met[order]]
    if not len(history) or not len(free):
        return None
    places = np.searchsorted(rank[free], rank[history])
    drawn = places + rng.integers(-NEAR // 2, NEAR - NEAR // 2, size=len(history))
    beside = free[np.clip(drawn, 0, len(free) - 1)]
    return Taste(tuple(items[row] for row in history.tolist()), tuple(items[row] for row in beside.tolist()))


@contextmanager
def taught(
    model: LanguageModel, people: Sequence[Taste], settings: TasteSettings, *, seed: int, progress: Progress = quiet
) -> Iterator[None]:
    """Within the context the model carries an adapter trained on these people; after it, it is as it was.

    Equal arguments give equal adapters on one machine and thread count. Raises LetheError where nobody is given.
    """
    if not people:
        raise LetheError("a taste adapter for nobody: give people with a history")
    layers = range(len(model.model.get_decoder().layers))
    modules = [f"model.layers.{layer}.{part}" for layer in layers for part in PROJECTIONS]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = inject(model.model, lora_config(modules, rank=settings.rank, alpha=settings.alpha), NAME)
    try:
        use(model.model, [NAME], train=True)
        free = [side[NAME].weight for layer in found.values() for side in (layer.lora_A, layer.lora_B)]
        optimizer = torch.optim.AdamW(free, lr=settings.rate, weight_decay=0.0)
        rng = np.random.default_rng([seed, 42])
        for step in range(settings.steps):
            optimizer.zero_grad(set_to_none=True)
            drawn = [people[place] for place in rng.integers(len(people), size=settings.people)]
            loss = _loss(model, [_question(one, settings, rng) for one in drawn])
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(free, 1.0)
            optimizer.step()
            progress(step + 1, settings.steps)
        use(model.model, [NAME])
        yield
    finally:
        remove(model.model, NAME)


def _question(one: Taste, settings: TasteSettings, rng: np.random.Generator) -> Context:
    count = min(settings.pairs, len(one.met))
    return one.asked(rng.permutation(len(one.met))[:count].tolist(), settings.length)


def _loss(model: LanguageModel, asked: Sequence[Context]) -> Tensor:
    """-log sigma(+-(logit of yes - logit of no)), mean over candidates: the first half was met, the second was not."""
    turns, signs = list[Turn](), list[float]()
    for one in asked:
        prompt = judge(one)
        turns += [Turn(suffix, YES, shared=prompt.prefix) for suffix in prompt.suffixes]
        half = len(prompt.suffixes) // 2
        signs += [1.0] * half + [-1.0] * half
    batch = one_batch(encode_rows(model, turns), model.device)
    first = torch.cat([batch.target_owner.new_ones(1, dtype=torch.bool), batch.target_owner.diff() != 0])
    logits = logits_of(model, answer_states(model, batch)[first]).float()
    margins = logits[:, model.token(YES)] - logits[:, model.token(NO)]
    wanted = torch.tensor(signs, device=model.device)[list(batch.rows)]
    return softplus(-wanted * margins).mean()


def gaps(model: LanguageModel, people: Sequence[Taste], *, pairs: int, length: int) -> NDArray[np.float64]:
    """How much more the model would say yes to what each person met than to what stands beside it, nats [people].

    The latest `pairs` items of each are asked about, with `length` of the history before them shown; 0 shows none.
    """
    prompts = [judge(one.asked(range(max(0, len(one.met) - pairs), len(one.met)), length)) for one in people]
    said = leanings(model, [prompt.prefix + suffix for prompt in prompts for suffix in prompt.suffixes])
    parts = np.split(said, np.cumsum([len(prompt.suffixes) for prompt in prompts])[:-1])
    return np.array([float(part[: len(part) // 2].mean() - part[len(part) // 2 :].mean()) for part in parts])
