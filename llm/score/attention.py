"""Attention in which one prefix is shared by many short suffixes.

A dense mask over prefix and suffixes would be mostly empty. Here each suffix token meets the prefix keys in one matrix
product and the keys of its own suffix in a small one; a single softmax runs over both. The arithmetic is that of
block-diagonal attention. Registered with transformers under `NAME`, it serves every Qwen2 or Qwen3 model and leaves the
weights, and adapters attached to them, where they are. Calls without a layout go to PyTorch's own attention.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "lethe_packed"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which suffix tokens attend, in a padded table of rows a suffix and columns a token.

    `places` int64 [suffixes, columns] count from the block's `split`; `real` int64 are the flat places in that table
    that are no padding; `hidden` bool [suffixes or 1, columns, longest] marks the keys of the own suffix that are not
    seen.
    """

    places: Tensor
    real: Tensor
    hidden: Tensor


@dataclass(frozen=True, slots=True)
class Block:
    """One person's tokens in the flat sequence: prefix `start:split`, then all suffixes up to `stop`, end to end."""

    start: int
    split: int
    stop: int
    every: Asked
    """Every suffix token; a suffix's last token is repeated as padding."""
    ends: Asked
    """The last token of each suffix alone."""


def install(model: Any) -> None:
    """Let the model use packed attention. What does not pass a layout is computed as before."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    blocks: tuple[Block, ...] | None = None,
    ends_only: bool = False,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [1, heads, tokens, d], result [1, tokens, heads, d].

    With `ends_only` the rows of all other tokens are zero: nothing reads them after the last layer.
    """
    if blocks is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return plain
    mixed = torch.zeros_like(query.transpose(1, 2))
    for block in blocks:
        if not ends_only:
            prefix = slice(block.start, block.split)
            mixed[:, prefix] = _prefix(query[:, :, prefix], key[:, :, prefix], value[:, :, prefix], scaling)
        asked = block.ends if ends_only else block.every
        rows = block.split + asked.places.flatten()[asked.real]
        mixed[0, rows] = _suffixes(query[0], key[0], value[0], block, asked, scaling=scaling)
    return mixed, None


def _prefix(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    causal = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return causal.transpose(1, 2)


def _suffixes(query: Tensor, key: Tensor, value: Tensor, block: Block, asked: Asked, *, scaling: float) -> Tensor:
    """Attention of the asked suffix tokens, [asked, heads, d]. Keys and values may have fewer heads (GQA)."""
    owners, reach, width = len(key), block.split - block.start, query.shape[-1]
    shared, own = slice(block.start, block.split), slice(block.split, block.stop)
    table = (query[:, own] * scaling)[:, asked.places].view(owners, -1, *asked.places.shape, width)
    keys, values = (part[:, own][:, None, block.every.places] for part in (key, value))
    near = (table @ keys.transpose(-1, -2)).masked_fill(asked.hidden, -torch.inf)
    near = near.flatten(2, 3)[:, :, asked.real]
    rows = table.flatten(2, 3)[:, :, asked.real].flatten(1, 2)
    far = rows @ key[:, shared].transpose(1, 2)
    weights = torch.cat((far, near.flatten(1, 2)), dim=-1).softmax(-1, dtype=torch.float32).to(query.dtype)
    spread = weights.new_zeros(*table.shape[:2], asked.places.numel(), keys.shape[-2])
    spread[:, :, asked.real] = weights[..., reach:].view_as(near)
    close = spread.view(*table.shape[:-1], -1) @ values
    mixed = weights[..., :reach] @ value[:, shared] + close.flatten(2, 3)[:, :, asked.real].view_as(rows)
    result: Tensor = mixed.view(query.shape[0], -1, width).transpose(0, 1)
    return result
