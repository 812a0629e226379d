"""Where neurons and heads sit in a Qwen model: the inputs of `down_proj` and `o_proj` of every layer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from unlearning.concept.mask import Shape

Rewrite = Callable[[int, Tensor], Tensor]
"""Gets the layer and what enters a projection, and says what shall enter it."""


def shape_of(model: Any) -> Shape:
    """How many layers, neurons a layer and heads a layer a Qwen2 or Qwen3 model has."""
    config = model.config
    return Shape(int(config.num_hidden_layers), int(config.intermediate_size), int(config.num_attention_heads))


def down_projections(model: Any) -> list[nn.Module]:
    """`down_proj` of every layer, as it stands, adapter and all."""
    return [layer.mlp.down_proj for layer in model.get_decoder().layers]


def output_projections(model: Any) -> list[nn.Module]:
    """`o_proj` of every layer, as it stands, adapter and all."""
    return [layer.self_attn.o_proj for layer in model.get_decoder().layers]


@contextmanager
def rewritten(modules: list[nn.Module], rewrite: Rewrite) -> Iterator[None]:
    """Within the context every module gets as input what `rewrite` says; after it, its own again."""
    with ExitStack() as stack:
        for layer, module in enumerate(modules):
            hook = module.register_forward_pre_hook(_hook(layer, rewrite))
            stack.callback(hook.remove)
        yield


def _hook(layer: int, rewrite: Rewrite) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def _enter(_module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (rewrite(layer, given[0]), *given[1:])

    return _enter
