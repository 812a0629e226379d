"""Log-probabilities of retained windows and of targets after a history, and the losses made of them: pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recsys.candidates import IntArray
from recsys.semantic_ids.codes import CodeTable
from recsys.semantic_ids.decoder import Decoder, Kept
from recsys.semantic_ids.speaker import rows_of, span
from recsys.semantic_ids.training import spoken


@dataclass(frozen=True)
class Ids:
    """How a decoder is spoken to while some items' codes are soft.

    `soft` [concept, levels, hidden] stands for the tokens of the concept's codes wherever they occur, `shares`
    [levels, concept, codes] for their codes as targets. Without them ids are as the table has them.
    """

    table: CodeTable
    concept: IntArray
    soft: Tensor | None = None
    shares: Tensor | None = None

    def embedded(self, decoder: Decoder, histories: Sequence[IntArray]) -> tuple[Tensor, Tensor, Tensor]:
        """Histories as tokens [n, longest], the same embedded, and their lengths."""
        tokens, lengths = rows_of(self.table, histories)
        embedded = decoder.embed_tokens(tokens)
        if self.soft is None:
            return tokens, embedded, lengths
        place, levels, each = _places(self), self.table.levels, self.table.levels + 1
        where = [
            (n, at, place[item]) for n, h in enumerate(histories) for at, item in enumerate(h.tolist()) if item in place
        ]
        if where:
            row, at, own = (torch.tensor(column) for column in zip(*where, strict=True))
            columns = 1 + each * at[:, None] + torch.arange(levels)[None]
            embedded = embedded.index_put((row[:, None], columns), self.soft[own])
        return tokens, embedded, lengths

    def targets(self, decoder: Decoder, places: Sequence[int], others: IntArray) -> tuple[Tensor, Tensor]:
        """Embedded codes [n, 1 + K, levels, hidden] of concept items and of other items [n, K] beside each.

        The second is log q of the concept items' codes, [levels, n, codes]: 0 and −∞ where codes are hard.
        """
        own = torch.tensor(places)
        tokens = torch.from_numpy(self.table.tokens)
        beside = decoder.embed_tokens(tokens[torch.from_numpy(others)][..., : self.table.levels])
        if self.soft is None or self.shares is None:
            rows = torch.from_numpy(self.concept)[own]
            mine = decoder.embed_tokens(tokens[rows][:, : self.table.levels])
            codes = torch.from_numpy(self.table.codes)[rows, : self.table.levels].T
            hard = torch.full((*codes.shape, self.table.width), -torch.inf)
            return torch.cat([mine[:, None], beside], dim=1), hard.scatter(-1, codes[..., None], 0.0)
        return torch.cat([self.soft[own][:, None], beside], dim=1), self.shares[:, own].clamp_min(1e-30).log().float()


def retained_log_p(decoder: Decoder, ids: Ids, pieces: Sequence[IntArray]) -> Tensor:
    """log p of every token of retained items in some windows, flat; the concept's items are read, not asked for."""
    tokens, embedded, lengths = ids.embedded(decoder, pieces)
    states, _ = decoder(embedded)
    losses = spoken(decoder, ids.table, states[:, :-1], tokens[:, 1:], lengths - 1)
    each, place = ids.table.levels + 1, _places(ids)
    kept = [[item not in place for item in piece.tolist()] for piece in pieces]
    flat = torch.tensor([one for row in kept for one in row])
    return -losses[flat.repeat(each)]


def asked_log_p(
    decoder: Decoder, ids: Ids, before: Sequence[IntArray], places: Sequence[int], others: IntArray
) -> tuple[Tensor, Tensor]:
    """After each history: log p of the codes of a concept item, [n], and of other items with their digits, [n, K].

    Soft codes are marginalised, log Σ_k q(k)·p(k); what comes after them reads their soft embedding. The concept
    items' digits are not asked for: a move gives them new ones.
    """
    _, embedded, lengths = ids.embedded(decoder, before)
    states, past = decoder(embedded)
    state = states[torch.arange(len(before)), lengths - 1][:, None].expand(-1, 1 + others.shape[1], -1)
    hidden = torch.arange(embedded.shape[1])[None] >= lengths[:, None]
    codes, weights = ids.targets(decoder, places, others)
    wanted = torch.from_numpy(ids.table.codes[others])
    mine, beside = torch.zeros(len(before)), torch.zeros(others.shape)
    above: list[Kept] | None = None
    for depth in range(ids.table.levels + 1):
        logits = state @ decoder.embed_tokens.weight[span(ids.table, depth)].T
        said = logits.log_softmax(dim=-1)
        beside = beside + said[:, 1:].gather(-1, wanted[..., depth, None])[..., 0]
        if depth == ids.table.levels:
            break
        mine = mine + (said[:, 0] + weights[depth]).logsumexp(dim=-1)
        state, above = decoder.branch(codes[:, :, depth], lengths[:, None] + depth, past, hidden, above)
    return mine, beside


def negative_preference(now: Tensor, before: Tensor, beta: float) -> Tensor:
    """NPO (Zhang et al. 2024, eq. 3) of targets' log-probabilities, now and by the model that forgot nothing."""
    return 2 / beta * torch.nn.functional.softplus(beta * (now - before))


def neighbours_of(near: IntArray, places: Sequence[int]) -> IntArray:
    """Rows of the items near each concept item, [n, K]."""
    return near[np.array(places, dtype=np.int64)]


def _places(ids: Ids) -> dict[int, int]:
    return {row: at for at, row in enumerate(ids.concept.tolist())}
