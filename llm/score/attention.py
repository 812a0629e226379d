"""Attention in which one prefix is shared by many short suffixes.

A dense mask over prefix and suffixes would be mostly empty. Here each suffix token meets the keys of the prefix in one
attention and those of its own suffix in another, and the two results are joined by the sums of their weights: the
arithmetic is that of block-diagonal attention. Registered with transformers under `NAME`, it serves every Qwen2 or
Qwen3 model and leaves the weights, and adapters attached to them, where they are. Calls without a layout go to
PyTorch's own attention.
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
    that are no padding; `hidden` bool [suffixes, columns, longest] marks the keys of the own suffix that are not seen,
    None where those are just the later ones.
    """

    places: Tensor
    real: Tensor
    hidden: Tensor | None = None


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
    shared, own = slice(block.start, block.split), slice(block.split, block.stop)
    rows = query[:, own][:, asked.places.flatten()[asked.real]]
    far, far_sum = partial_attention(rows[None], key[None, :, shared], value[None, :, shared], scaling=scaling)
    table = query[:, own][:, asked.places].transpose(0, 1)
    keys, values = (part[:, own][:, block.every.places].transpose(0, 1) for part in (key, value))
    near, near_sum = partial_attention(table, keys, values, scaling=scaling, hidden=asked.hidden)
    near, near_sum = (part.transpose(1, 2).flatten(0, 1)[asked.real] for part in (near, near_sum))
    share = torch.sigmoid(near_sum - far_sum[0].T)[..., None].to(near.dtype)
    return torch.lerp(far[0].transpose(0, 1), near, share)


def partial_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float, hidden: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention over a part of the keys, by which results over other parts can be joined.

    `query` [batch, heads, tokens, d] gives the mixture of the same shape and the logarithm of the sum of the weights
    [batch, heads, tokens]. A batch of one sees every key; in a larger one `hidden` bool [batch, tokens, keys] are not
    seen, or, without it, the later keys.
    """
    causal = hidden is None and len(query) > 1
    mask = None if hidden is None else query.new_zeros(hidden.shape).masked_fill(hidden, -torch.inf)[:, None]
    if query.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        mixed, total = flash(query, key, value, 0.0, causal, attn_mask=mask, scale=scaling)
        return mixed, total
    return _plain(query, key, value, mask, scaling=scaling, causal=causal)


def _plain(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scaling: float, causal: bool
) -> tuple[Tensor, Tensor]:
    """`partial_attention` in matrix products, for devices where PyTorch's fused one does not tell the sum."""
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)
    weights = (query @ key.transpose(-1, -2)).float() * scaling
    if causal:
        later = torch.ones(weights.shape[-2:], dtype=torch.bool, device=query.device).triu(1)
        weights = weights.masked_fill(later, -torch.inf)
    elif mask is not None:
        weights = weights + mask
    return weights.softmax(-1).to(value.dtype) @ value, weights.logsumexp(-1)
