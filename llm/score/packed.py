"""All of a person's candidates judged in one forward pass.

One shared prefix (instruction, history, profile) and one short suffix for each candidate, whose positions restart after
the prefix; a suffix sees the prefix and itself, never another suffix. The score is the difference of the yes and no
logits after the suffix. Suffixes are sorted by their token ids before they are packed, so the order of the candidates
cannot reach the arithmetic. Several people share a pass, one after the other in a flat sequence without padding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from db.errors import LetheError
from llm.model import LanguageModel
from llm.prompt import SERVED, Wording
from llm.score.attention import Asked, Block, install
from llm.score.base import FloatArray, Scores, too_long
from llm.score.questions import Questions, answers, questions
from retrieval.context import Context

TOKEN_BUDGET = {"cpu": 4_096, "cuda": 65_536}
"""Tokens in one pass; one person is never divided."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A flat sequence: ids and positions int64 [1, tokens], the block of each person, and each suffix's last place."""

    ids: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]
    last: Tensor


class PackedScorer:
    """The default scorer. `token_budget` bounds the tokens of one pass."""

    name = "packed"

    def __init__(self, model: LanguageModel, *, wording: Wording = SERVED, token_budget: int | None = None) -> None:
        if "sliding_attention" in model.model.config.layer_types:
            raise LetheError(f"{model.name} uses sliding-window attention: choose the listwise scorer")
        install(model.model)
        self.model, self.wording = model, wording
        self.token_budget = token_budget or TOKEN_BUDGET[model.device.type]
        self._answers = answers(model)

    def score(self, contexts: Sequence[Context]) -> list[Scores]:
        """As `Scorer.score`; people are grouped in the given order until the token budget is reached."""
        asked = [questions(self.model, context, self.wording) for context in contexts]
        results = [self._unasked(one) for one in asked]
        fitting = [i for i, one in enumerate(asked) if one.suffixes and one.longest <= self.model.limit]
        for group in _groups(fitting, asked, self.token_budget):
            for i, values in zip(group, self._pass([asked[i] for i in group]), strict=True):
                results[i] = Scores.checked(values)
        return results

    def _unasked(self, one: Questions) -> Scores:
        """What stands where no pass is made: nothing to judge, or a prompt that does not fit."""
        if not one.suffixes:
            return Scores(np.zeros(0, np.float32))
        return Scores.unusable(len(one.suffixes), too_long(one.longest, self.model.limit))

    def _pass(self, asked: Sequence[Questions]) -> Iterator[FloatArray]:
        """One forward pass for several people."""
        canonical = [canonicalise(one) for one in asked]
        flat = judge_packed(self.model, pack(canonical, self.model.device), self._answers)
        start = 0
        for one, order in zip(asked, canonical, strict=True):
            cut = len(order.prefix) - len(one.prefix)
            place = {suffix: start + i for i, suffix in enumerate(order.suffixes)}
            yield flat[[place[suffix[cut:]] for suffix in one.suffixes]]
            start += len(order.suffixes)


def _groups(chosen: Sequence[int], asked: Sequence[Questions], budget: int) -> Iterator[list[int]]:
    """Runs of people whose tokens stay within the budget."""
    group: list[int] = []
    used = 0
    for i in chosen:
        if group and used + asked[i].tokens > budget:
            yield group
            group, used = [], 0
        group.append(i)
        used += asked[i].tokens
    if group:
        yield group


def canonicalise(asked: Questions) -> Questions:
    """The same questions (one at least), each once and sorted; tokens with which all begin move to the prefix."""
    suffixes = sorted(set(asked.suffixes))
    first, last = suffixes[0], suffixes[-1]
    cut = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first[:-1], last[:-1], strict=False)))
    return Questions(asked.prefix + first[:cut], tuple(suffix[cut:] for suffix in suffixes))


def pack(asked: Sequence[Questions], device: torch.device) -> Packed:
    """Lay people end to end. Each has a suffix at least, and every suffix a token."""
    ids: list[int] = []
    positions: list[int] = []
    blocks, last = [], []
    for one in asked:
        start, split = len(ids), len(ids) + len(one.prefix)
        ids += one.prefix
        positions += range(len(one.prefix))
        for suffix in one.suffixes:
            ids += suffix
            positions += range(len(one.prefix), len(one.prefix) + len(suffix))
            last.append(len(ids) - 1)
        blocks.append(Block(start, split, len(ids), *_asked([len(suffix) for suffix in one.suffixes], device)))
    flat = torch.tensor([ids, positions], device=device)
    return Packed(flat[:1], flat[1:], tuple(blocks), torch.tensor(last, device=device, dtype=torch.long))


def _asked(lengths: Sequence[int], device: torch.device) -> tuple[Asked, Asked]:
    """Every token of the suffixes, and the last of each."""
    size = torch.tensor(lengths, device=device)[:, None]
    column = torch.arange(int(size.max()), device=device)[None]
    first = size.cumsum(0) - size
    every = Asked(places=first + torch.minimum(column, size - 1), real=(column < size).flatten().nonzero()[:, 0])
    ends = Asked(
        places=first + size - 1, real=torch.arange(len(lengths), device=device), hidden=(column >= size)[:, None]
    )
    return every, ends


@torch.inference_mode()
def judge_packed(model: LanguageModel, packed: Packed, words: tuple[int, int]) -> FloatArray:
    """First word's logit minus the second's at each suffix's end, float32 [suffixes].

    The last layer's feed-forward part and the output matrix are computed where an answer is read, and nowhere else.
    """
    decoder = model.model.get_decoder()
    hidden = decoder.embed_tokens(packed.ids)
    shared = {
        "position_embeddings": decoder.rotary_emb(hidden, packed.positions),
        "attention_mask": None,
        "blocks": packed.blocks,
    }
    *layers, final = decoder.layers
    for layer in layers:
        hidden = layer(hidden, **shared)
    mixed, _ = final.self_attn(hidden_states=final.input_layernorm(hidden), ends_only=True, **shared)
    ends = (hidden + mixed)[0, packed.last]
    ends = decoder.norm(ends + final.mlp(final.post_attention_layernorm(ends)))
    rows = model.model.get_output_embeddings().weight[list(words)]
    logits = (ends @ rows.T).float()
    difference: FloatArray = (logits[:, 0] - logits[:, 1]).cpu().numpy()
    return difference
