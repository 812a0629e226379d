"""Offsets φ of the concept's items: soft codes while they are learned, and the codes they come to.

Reconstructed from a secondary source; docs/decisions/0016 says what it gave, and what is ours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys.candidates import IntArray
from recsys.semantic_ids.codes import CodeTable, moved
from recsys.semantic_ids.decoder import Decoder
from recsys.semantic_ids.speaker import span
from recsys.semantic_ids.tokenizer import Tokenizer


@dataclass(frozen=True)
class Offsets:
    """−‖r − c‖² of the concept's items to every code, float64 [levels, concept, codes], and φ of the same shape."""

    base: Tensor
    phi: Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, concept: IntArray) -> "Offsets":
        """φ = 0."""
        base = torch.from_numpy(-tokenizer.distances(concept))
        return cls(base, torch.zeros_like(base, requires_grad=True))

    def shares(self, temperature: float) -> Tensor:
        """q_φ(k) = softmax_k((−‖r − c_k‖² + φ_k)/τ)."""
        return ((self.base + self.phi) / temperature).softmax(dim=-1)

    def embedded(self, decoder: Decoder, table: CodeTable, shares: Tensor) -> Tensor:
        """ẽ = Σ_k q_φ(k)·e_k of every concept item and level, float32 [concept, levels, hidden]."""
        levels = [share.float() @ decoder.embed_tokens.weight[span(table, depth)] for depth, share in enumerate(shares)]
        return torch.stack(levels, dim=1)

    def codes(self) -> IntArray:
        """argmax_k(−‖r − c_k‖² + φ_k), int64 [concept, levels]; with φ = 0 the tokenizer's own, to the bit."""
        chosen: NDArray[np.int64] = (self.base + self.phi.detach()).numpy().argmax(axis=-1).T
        return chosen

    def step(self, whole: Tensor, forgetting: Tensor, popular: Tensor, rate: float) -> None:
        """φ ← φ − η_φ(M ⊙ ∇L), where M is 1 for `popular` codes [levels, 1, codes] whose ∂L_F/∂φ is above 0."""
        with torch.no_grad():
            self.phi.sub_(rate * (popular & (forgetting > 0)) * whole)


def popular_codes(table: CodeTable, retained: IntArray) -> NDArray[np.bool_]:
    """1[ρ_l(k) > ρ̄]: codes that more retained items use than a code does on average, [levels, codes]."""
    counts = np.stack(
        [np.bincount(table.codes[retained, level], minlength=table.width) for level in range(table.levels)]
    )
    share = counts / len(retained)
    above: NDArray[np.bool_] = share > share.mean(axis=1, keepdims=True)
    return above


def committed(table: CodeTable, concept: IntArray, offsets: Offsets) -> CodeTable:
    """The table after the move. With φ = 0, and for retained items always, every id is what it was."""
    return moved(table, concept, offsets.codes())
