"""A decoder of the Qwen2 architecture in plain torch, small, with the tree steps that scoring under a trie needs.

Tensor names are those of transformers' `Qwen2Model`, which gives the same states from the same tensors (tested).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from db.errors import LetheError

EPS, THETA = 1e-6, 10_000.0
"""Of RMSNorm and of the rotary positions."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a decoder."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    shared: int = 2
    """Key and value heads: queries of several heads read one (grouped-query attention)."""
    inner: int = 192
    dropout: float = 0.1
    """In training alone, after the embedding and each block; Qwen2 itself has none."""

    def __post_init__(self) -> None:
        if self.hidden % self.heads or self.heads % self.shared or (self.hidden // self.heads) % 2:
            raise LetheError(f"{self} is no decoder: heads must divide hidden evenly, and shared heads divide heads")


class Kept(NamedTuple):
    """Keys and values of a layer, [batch, shared heads, positions, width of a head]."""

    keys: Tensor
    values: Tensor


class RMSNorm(nn.Module):
    """Scales by the root mean square (Zhang and Sennrich 2019)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        scaled: Tensor = functional.rms_norm(x, (x.shape[-1],), self.weight, EPS)
        return scaled


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.shared, self.size = shape.heads, shape.shared, shape.hidden // shape.heads
        self.q_proj = nn.Linear(shape.hidden, shape.heads * self.size)
        self.k_proj = nn.Linear(shape.hidden, shape.shared * self.size)
        self.v_proj = nn.Linear(shape.hidden, shape.shared * self.size)
        self.o_proj = nn.Linear(shape.heads * self.size, shape.hidden, bias=False)

    def project(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Kept]:
        """Queries [batch, heads, n, size] and what is kept of x [batch, n, hidden] at positions [batch or 1, n]."""
        q, k, v = (
            proj(x).unflatten(-1, (-1, self.size)).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        return _turned(q, positions), Kept(_turned(k, positions), v)

    def causal(self, q: Tensor, kept: Kept) -> Tensor:
        """Each position attends to itself and to those before it."""
        keys, values = (t.repeat_interleave(self.heads // self.shared, dim=1) for t in kept)
        mixed = functional.scaled_dot_product_attention(q, keys, values, is_causal=True)
        return self._out(mixed)

    def branching(self, q: Tensor, past: Kept, hidden: Tensor, own: Kept) -> Tensor:
        """Nodes of a tree [batch, heads, n, size] attend to a shared past, where `hidden` [batch, past] is not set, and
        to their own ancestors and themselves: keys and values [batch, shared heads, n, depth, size].
        """
        q = q.reshape(len(q), self.shared, -1, *q.shape[2:]) * self.size**-0.5
        far = torch.einsum("bghnd,bgtd->bghnt", q, past.keys).masked_fill(hidden[:, None, None, None], -torch.inf)
        near = torch.einsum("bghnd,bgnad->bghna", q, own.keys)
        share = torch.cat([far, near], dim=-1).softmax(dim=-1)
        cut = past.keys.shape[2]
        mixed = torch.einsum("bghnt,bgtd->bghnd", share[..., :cut], past.values)
        mixed = mixed + torch.einsum("bghna,bgnad->bghnd", share[..., cut:], own.values)
        return self._out(mixed.flatten(1, 2))

    def _out(self, mixed: Tensor) -> Tensor:
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """Attention and MLP, each after a norm and beside a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(shape), Mlp(shape)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(shape.hidden), RMSNorm(shape.hidden)
        self.dropout = nn.Dropout(shape.dropout)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """x [batch, n, hidden] after what attention mixed for it."""
        x = x + self.dropout(mixed)
        out: Tensor = x + self.dropout(self.mlp(self.post_attention_layernorm(x)))
        return out


class Decoder(nn.Module):
    """States of token sequences; logits are inner products with the embedding (tied)."""

    def __init__(self, shape: Shape, vocabulary: int) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden)
        self.dropout = nn.Dropout(shape.dropout)
        for name, tensor in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(tensor)
            elif tensor.ndim == 2:
                nn.init.normal_(tensor, std=0.02 if "embed" in name else tensor.shape[1] ** -0.5)

    @property
    def _blocks(self) -> list[Block]:
        return [block for block in self.layers if isinstance(block, Block)]

    def forward(self, embedded: Tensor) -> tuple[Tensor, list[Kept]]:
        """States [batch, n, hidden] of embedded tokens [batch, n, hidden], and every layer's keys and values."""
        x, kept = self.dropout(embedded), []
        positions = torch.arange(embedded.shape[1])[None]
        for block in self._blocks:
            q, own = block.self_attn.project(block.input_layernorm(x), positions)
            x = block.finish(x, block.self_attn.causal(q, own))
            kept.append(own)
        out: Tensor = self.norm(x)
        return out, kept

    def branch(
        self, embedded: Tensor, depth: Tensor, past: Sequence[Kept], hidden: Tensor, above: Sequence[Kept] | None
    ) -> tuple[Tensor, list[Kept]]:
        """States of nodes [batch, n, hidden] that follow a past, at positions `depth` [batch, 1].

        `above` holds for each layer the keys and values of every node's ancestors [batch, shared, n, depth, size]; what
        is returned holds the node's own behind them, and is gathered by parent for the next step.
        """
        x, kept = embedded, []
        for place, block in enumerate(self._blocks):
            q, (k, v) = block.self_attn.project(block.input_layernorm(x), depth.expand(-1, x.shape[1]))
            own = Kept(k[:, :, :, None], v[:, :, :, None])
            if above is not None:
                own = Kept(*(torch.cat([old, new], dim=3) for old, new in zip(above[place], own, strict=True)))
            x = block.finish(x, block.self_attn.branching(q, past[place], hidden, own))
            kept.append(own)
        out: Tensor = self.norm(x)
        return out, kept


def _turned(x: Tensor, positions: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021) of x [batch, heads, n, size] at positions [batch or 1, n]."""
    half = x.shape[-1] // 2
    angle = positions[:, None, :, None] * THETA ** (-torch.arange(half) / half)
    cos, sin = angle.cos(), angle.sin()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
