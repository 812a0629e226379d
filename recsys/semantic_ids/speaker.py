"""Asks a decoder for items: every item's probability after a history, or the best ones by a beam under the trie."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.candidates import FloatArray, IntArray
from recsys.semantic_ids.codes import CodeTable
from recsys.semantic_ids.decoder import Decoder, Kept
from recsys.semantic_ids.trie import END, Level, Trie

CHUNK = 32
"""People who are scored at a time."""


class Read(NamedTuple):
    """Histories as a decoder has read them."""

    state: Tensor
    """[people, 1, hidden] after the last token."""
    length: Tensor
    """[people, 1] tokens, the one that begins a history among them."""
    past: list[Kept]
    hidden: Tensor
    """[people, tokens] where a shorter history is padded."""


class Front(NamedTuple):
    """Nodes of one depth that are looked beneath: their states, and their keys and values with their ancestors'."""

    state: Tensor
    kept: list[Kept] | None


class Speaker:
    """A decoder with the trie of the ids that it speaks. Every score is a log-probability given the history.

    Under the trie, each step is shared among the codes that lead to an item, so that all items' probabilities sum to 1.
    A `free` score is shared among all codes of the level instead: what is missing to 1 went to ids of no item.
    """

    def __init__(self, decoder: Decoder, trie: Trie, window: int, *, added: Tensor | None = None) -> None:
        self.decoder, self.trie, self.window = decoder, trie, window
        self.added = added
        """To every token's logit, [vocabulary + 1]."""

    def read(self, histories: Sequence[IntArray]) -> Read:
        """Read the last items of each history, oldest first; none may be empty."""
        tokens, length = rows_of(self.trie.table, [history[-self.window :] for history in histories])
        embedded = self.decoder.embed_tokens(tokens)
        states, past = self.decoder(embedded)
        last = states[torch.arange(len(tokens)), length - 1][:, None]
        return Read(last, length[:, None], past, torch.arange(tokens.shape[1])[None] >= length[:, None])

    @torch.no_grad()
    def scores(self, histories: Sequence[IntArray], *, free: bool = False) -> FloatArray:
        """Of every item, float32 [people, items]."""
        out = np.zeros((len(histories), len(self.trie.order)), dtype=np.float32)
        for start in range(0, len(histories), CHUNK):
            out[start : start + CHUNK, self.trie.order] = self._all(self.read(histories[start : start + CHUNK]), free)
        return out

    @torch.no_grad()
    def beam(
        self, histories: Sequence[IntArray], closed: Sequence[IntArray], k: int, *, width: int
    ) -> list[tuple[IntArray, FloatArray]]:
        """The k best items outside each `closed`, best first, among those whose beginnings stay among the `width` best.

        Lists are full: branches that lead to closed items alone are never kept, and `width` is at least k.
        """
        found: list[tuple[IntArray, FloatArray]] = []
        for start in range(0, len(histories), CHUNK):
            shut = closed[start : start + CHUNK]
            nodes, scores = self._beam(self.read(histories[start : start + CHUNK]), shut, max(width, k))
            for row, known in zip(nodes, scores, strict=True):
                kept = known > -np.inf
                rows, sure = self.trie.order[row[kept]], known[kept].astype(np.float32)
                best = np.lexsort((rows, -sure))[:k]
                found.append((rows[best], sure[best]))
        return found

    def _all(self, read: Read, free: bool) -> NDArray[np.float32]:
        """Level by level over all nodes; one that leads to a single item is not looked beneath under the trie."""
        front, known = Front(read.state, None), torch.zeros(len(read.state), 1)
        looked = torch.zeros(1, dtype=torch.int64)  # place in the front of every node of the depth above
        for depth, level in enumerate(self.trie.levels):
            step = self._shares(front.state, depth, None if free else _legal(level)[_asked(looked)])
            place = looked[torch.from_numpy(level.parent)]
            own = step[:, place.clamp(min=0), torch.from_numpy(level.code)]
            known = known[:, torch.from_numpy(level.parent)] + torch.where(place >= 0, own, torch.zeros(()))
            if depth == self.trie.table.levels:
                break
            wanted = np.ones(len(level.code), dtype=np.bool_) if free else np.diff(level.first) > 1
            nodes = torch.from_numpy(np.flatnonzero(wanted))
            looked = torch.full((len(wanted),), END).index_put((nodes,), torch.arange(len(nodes)))
            front = self._descend(read, front, (depth, place[nodes], torch.from_numpy(level.code)[nodes]))
        return known.numpy().astype(np.float32)

    def _beam(self, read: Read, closed: Sequence[IntArray], width: int) -> tuple[IntArray, NDArray[np.float32]]:
        people = torch.arange(len(read.state))[:, None]
        opened = [self.trie.open(rows) for rows in closed]
        front, known = Front(read.state, None), torch.zeros(len(read.state), 1)
        nodes = torch.zeros(len(read.state), 1, dtype=torch.int64)
        for depth, level in enumerate(self.trie.levels):
            below = torch.from_numpy(level.children)[nodes]
            step = self._shares(front.state, depth, below >= 0)
            free = torch.from_numpy(np.stack([one[depth] for one in opened]))[people[..., None], below.clamp(min=0)]
            reached = (known[..., None] + step).masked_fill(~free | (below < 0), -torch.inf).flatten(1)
            known, best = reached.topk(min(width, reached.shape[1]), dim=1)
            codes, place = best % below.shape[2], best // below.shape[2]
            nodes = below.flatten(1).gather(1, best).clamp(min=0)
            if depth < self.trie.table.levels:
                front = self._descend(read, front, (depth, place, codes))
        return nodes.numpy(), known.numpy()

    def _shares(self, state: Tensor, depth: int, legal: Tensor | None) -> Tensor:
        """Log-probability of each code of a level, [people, nodes, codes]; without `legal`, among all of them."""
        logits = state @ self.decoder.embed_tokens.weight[span(self.trie.table, depth)].T
        if self.added is not None:
            logits = logits + self.added[span(self.trie.table, depth)]
        if legal is not None:
            logits = logits.masked_fill(~legal, torch.finfo(logits.dtype).min)
        return logits.log_softmax(dim=-1)

    def _descend(self, read: Read, front: Front, chosen: tuple[int, Tensor, Tensor]) -> Front:
        """The front one depth down: nodes by their parent's place in this front and their code, of all people or each.

        Both are [nodes], or [people, nodes].
        """
        depth, place, codes = chosen
        people = len(read.state)
        codes, place = (x if x.ndim == 2 else x[None].expand(people, -1) for x in (codes, place))
        embedded = self.decoder.embed_tokens(codes + depth * self.trie.table.width)
        above = None if front.kept is None else [Kept(*(_taken(t, place) for t in kept)) for kept in front.kept]
        return Front(*self.decoder.branch(embedded, read.length + depth, read.past, read.hidden, above))


def span(table: CodeTable, depth: int) -> slice:
    """The tokens of a level, or of the digits."""
    start = depth * table.width
    return slice(start, start + (table.digits if depth == table.levels else table.width))


def rows_of(table: CodeTable, histories: Sequence[IntArray]) -> tuple[Tensor, Tensor]:
    """Token sequences [histories, longest], padded behind, and their lengths; each begins with a token of its own."""
    begin, each = table.vocabulary, table.levels + 1
    tokens = table.tokens
    lengths = np.array([1 + each * len(history) for history in histories], dtype=np.int64)
    out = np.full((len(histories), int(lengths.max(initial=1))), begin, dtype=np.int64)
    for row, history, length in zip(out, histories, lengths.tolist(), strict=True):
        row[1:length] = tokens[history].ravel()
    return torch.from_numpy(out), torch.from_numpy(lengths)


def _legal(level: Level) -> Tensor:
    return torch.from_numpy(level.children >= 0)


def _asked(looked: Tensor) -> Tensor:
    """The nodes that have a place in the front, in its order."""
    return torch.nonzero(looked >= 0).flatten()


def _taken(kept: Tensor, place: Tensor) -> Tensor:
    """Keys or values [people, shared, nodes, depth, size] of the nodes at `place` [people, nodes]."""
    index = place[:, None, :, None, None].expand(-1, kept.shape[1], -1, *kept.shape[3:])
    return kept.gather(2, index)
