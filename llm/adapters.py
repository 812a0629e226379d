"""Adapters on a loaded model: attached, switched, checked by their canaries, and taken off again.

Attaching puts LoRA layers around the base's projections and never writes a weight of the base. With no adapter in use,
or after `detach`, the model is the base bit for bit. An adapter that does not show on its canary what its card says is
refused, so that the base never serves in its place unnoticed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor

from db.errors import LetheError
from llm.adapter_file import PROJECTIONS, AdapterFile, Canary
from llm.model import LanguageModel

TOLERANCE = {torch.float32: 2e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""How far a canary's logits may lie from those on its card, by the dtype of the base."""
SUM_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 0.1}
"""How far a composed set may lie from the sum of its deltas, relative to the largest delta."""


def projections_of(model: Any) -> list[str]:
    """Names of every projection of every decoder layer, as an adapter file names them."""
    layers = range(int(model.config.num_hidden_layers))
    part = {name: "self_attn" if name in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp" for name in PROJECTIONS}
    return [f"model.layers.{layer}.{part[name]}.{name}" for layer in layers for name in PROJECTIONS]


def layers_of(model: Any) -> dict[str, LoraLayer]:
    """The LoRA layers of a model by module name; empty where nothing is attached."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def inject(model: Any, config: LoraConfig, name: str) -> dict[str, LoraLayer]:
    """Put fresh LoRA layers around the modules of `config`, float32 and trainable; nothing else becomes trainable."""
    before = {key: parameter.requires_grad for key, parameter in model.named_parameters()}
    try:
        inject_adapter_in_model(config, model, adapter_name=name)
    except ValueError as error:
        raise LetheError(
            f"an adapter fits no module of {type(model).__name__}: use the model it was made for"
        ) from error
    finally:
        _forget_peft(model)
    found = {key: layer for key, layer in layers_of(model).items() if name in layer.lora_A}
    for key, parameter in model.named_parameters():
        own = f".lora_A.{name}." in key or f".lora_B.{name}." in key
        parameter.requires_grad_(own or before.get(key.replace(".base_layer.", "."), before.get(key, False)))
        parameter.data = parameter.data.float() if own else parameter.data
    return found


def _forget_peft(model: Any) -> None:
    """PEFT leaves its settings on the model and warns of them at the next adapter: the layers say all there is."""
    if hasattr(model, "peft_config"):
        del model.peft_config


def use(model: Any, names: Sequence[str], *, train: bool = False) -> None:
    """Let exactly these adapters act; with none the model is the base, bit for bit. `train`: with gradients."""
    for layer in layers_of(model).values():
        layer.set_adapter(list(names), inference_mode=not train)


def acting(model: Any) -> list[str]:
    """Names of the adapters that act, sorted."""
    return sorted({name for layer in layers_of(model).values() for name in layer.active_adapters})


@contextmanager
def using(model: Any, names: Sequence[str]) -> Iterator[None]:
    """Within the context exactly these adapters act, frozen; after it those that did before, as they were."""
    layers = list(layers_of(model).values())
    before = [(layer.active_adapters, any(p.requires_grad for p in layer.parameters())) for layer in layers]
    use(model, names)
    try:
        yield
    finally:
        for layer, (active, trained) in zip(layers, before, strict=True):
            layer.set_adapter(active, inference_mode=not trained)


def detach(model: Any) -> None:
    """Take every adapter off: the modules of the base are back, untouched."""
    for name, layer in layers_of(model).items():
        _unwrap(model, name, layer)


def remove(model: Any, name: str) -> None:
    """Take one adapter off. The others act, or not, as before."""
    for key, layer in layers_of(model).items():
        if name in layer.active_adapters:
            trained = any(parameter.requires_grad for parameter in layer.parameters())
            layer.set_adapter([other for other in layer.active_adapters if other != name], inference_mode=not trained)
        if name in layer.lora_A:
            layer.delete_adapter(name)
        if not layer.lora_A:
            _unwrap(model, key, layer)


def _unwrap(model: Any, key: str, layer: LoraLayer) -> None:
    parent, _, leaf = key.rpartition(".")
    setattr(model.get_submodule(parent), leaf, layer.get_base_layer())


@contextmanager
def adding(model: Any, adapter: AdapterFile) -> Iterator[None]:
    """Within the context an adapter acts beside those that act already; after it they act alone. Contexts nest."""
    before = acting(model)
    taken = {name for layer in layers_of(model).values() for name in layer.lora_A}
    name = next(slot for place in range(len(taken) + 1) if (slot := f"added{place}") not in taken)
    inject(model, adapter.config, name)
    try:
        load_tensors(model, adapter, name)
        use(model, [*before, name])
        yield
    finally:
        remove(model, name)


def load_tensors(model: Any, adapter: AdapterFile, name: str) -> None:
    """Put an adapter's tensors into its freshly injected layers; every one must have its place and shape."""
    found = layers_of(model)
    for (module, side), tensor in adapter.tensors.items():
        if module not in found or name not in found[module].lora_A:
            raise LetheError(f"adapter of {adapter.card.concept!r}: the model has no {module}: use its own model")
        weight = getattr(found[module], f"lora_{side}")[name].weight
        if weight.shape != tensor.shape:
            raise LetheError(
                f"adapter of {adapter.card.concept!r}: {module} is {tuple(tensor.shape)}: use its own model"
            )
        weight.data = tensor.to(device=weight.device, dtype=torch.float32).clone()
        weight.requires_grad_(False)


@dataclass(frozen=True, slots=True)
class Attached:
    """Adapters that passed their canaries, on one model. Which of them act is said by `serving`."""

    model: LanguageModel
    concepts: tuple[str, ...]

    @contextmanager
    def serving(self, concepts: Sequence[str]) -> Iterator[LanguageModel]:
        """Within the context the model without these concepts; after it the base again."""
        unknown = [concept for concept in concepts if concept not in self.concepts]
        if unknown:
            raise LetheError(f"no adapter of {unknown[0]!r} is attached: attach it before serving without the concept")
        with using(self.model.model, [_slot(self.concepts.index(concept)) for concept in concepts]):
            yield self.model

    def detach(self) -> None:
        """Give the base back, bit for bit."""
        detach(self.model.model)


def attach(model: LanguageModel, adapters: Sequence[AdapterFile]) -> Attached:
    """Attach adapters, none of them acting yet. Each is checked alone on its canary, then all together.

    LetheError, with the base as it was, where one was made for another base, does not show its canary's logits, shows
    hardly anything but the base, or where together they are not the sum of their deltas.
    """
    if layers_of(model.model):
        raise LetheError(f"{model.name} has adapters already: detach them, and attach all at once")
    for adapter in adapters:
        if adapter.card.base != model.fingerprint:
            raise LetheError(
                f"adapter of {adapter.card.concept!r} was made for another base than {model.name}: forget again"
            )
    try:
        for place, adapter in enumerate(adapters):
            inject(model.model, adapter.config, _slot(place))
            load_tensors(model.model, adapter, _slot(place))
        use(model.model, [])
        for place, adapter in enumerate(adapters):
            _check_canary(model, adapter, _slot(place))
        _check_sum(model, adapters)
    except LetheError:
        detach(model.model)
        raise
    return Attached(model, tuple(adapter.card.concept for adapter in adapters))


def canary_logits(model: LanguageModel, prompt: str, tokens: Sequence[int]) -> tuple[float, ...]:
    """Logits of these tokens after the user's turn `prompt`, float32, as the model stands."""
    values = next_logits(model, prompt)[list(tokens)]
    return tuple(values.tolist())


@torch.inference_mode()
def next_logits(model: LanguageModel, prompt: str) -> Tensor:
    """Logits of every token after the user's turn `prompt`, float32 [vocabulary], on the CPU."""
    ids = torch.tensor([model.prompt(prompt)], device=model.device)
    logits: Tensor = model.model(input_ids=ids, use_cache=False).logits[0, -1].float().cpu()
    return logits


def make_canary(model: LanguageModel, prompt: str, name: str, *, tokens: int = 4) -> Canary:
    """The canary of the injected adapter `name`: the tokens whose logits it moves most."""
    with using(model.model, []):
        base = next_logits(model, prompt)
    with using(model.model, [name]):
        adapted = next_logits(model, prompt)
    chosen = (adapted - base).abs().topk(tokens).indices.tolist()
    return Canary(prompt, tuple(chosen), tuple(base[chosen].tolist()), tuple(adapted[chosen].tolist()))


def _slot(place: int) -> str:
    return f"concept{place}"


def _check_canary(model: LanguageModel, adapter: AdapterFile, name: str) -> None:
    canary, concept = adapter.card.canary, adapter.card.concept
    tolerance = TOLERANCE[model.model.dtype]
    base = canary_logits(model, canary.prompt, canary.tokens)
    with using(model.model, [name]):
        adapted = canary_logits(model, canary.prompt, canary.tokens)
    if _apart(adapted, canary.adapted) > tolerance:
        raise LetheError(
            f"adapter of {concept!r} is {_apart(adapted, canary.adapted):.2g} off on its canary: forget it again"
        )
    if _apart(adapted, base) <= tolerance:
        raise LetheError(f"adapter of {concept!r} leaves its canary as the base has it: forget the concept again")


def _apart(first: Sequence[float], second: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


@torch.inference_mode()
def _check_sum(model: LanguageModel, adapters: Sequence[AdapterFile]) -> None:
    """Every layer with all adapters acting gives the base's output and the sum of the single deltas."""
    if len(adapters) < 2:
        return
    names = [_slot(place) for place in range(len(adapters))]
    dtype = model.model.dtype
    draw = torch.Generator().manual_seed(0)
    for key, layer in layers_of(model.model).items():
        x = torch.randn(4, layer.in_features, generator=draw).to(device=model.device, dtype=dtype)
        base = layer.get_base_layer()(x).float()
        deltas = [_delta(layer, name, x) for name in names if name in layer.lora_A]
        with using(model.model, names):
            found = layer(x).float()
        size = torch.stack([base, *deltas]).abs().max()
        if (found - base - torch.stack(deltas).sum(0)).abs().max() > SUM_TOLERANCE[dtype] * size:
            raise LetheError(f"adapters together are not the sum of each at {key}: detach, and attach fewer")


def _delta(layer: LoraLayer, name: str, x: Tensor) -> Tensor:
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    delta: Tensor = (x.to(a.dtype) @ a.T @ b.T) * layer.scaling[name]
    return delta.float()
