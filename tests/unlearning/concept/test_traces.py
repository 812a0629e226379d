import numpy as np
import pytest
import torch

from llm.model import _hash_tensors
from tests.llm.toys import toy_model
from tests.unlearning.concept.world import probes
from unlearning.concept.base import Use
from unlearning.concept.rows import Turn, encode_rows
from unlearning.concept.settings import Signal
from unlearning.concept.traces import gradient_norms, summed_loss, summed_margin, trace, weight_norms


def some_rows(model, count=5):
    return encode_rows(model, [Turn(p.question, p.answers[0]) for p in probes().of(use=Use.TRAIN).probes[::9][:count]])


def by_hand(model, row):
    """Activations and gradients of one row alone: autograd by a zero added at every place, no hook on gradients."""
    layers = model.model.get_decoder().layers
    modules = [layer.mlp.down_proj for layer in layers] + [layer.self_attn.o_proj for layer in layers]
    ids = torch.tensor([row.shared + row.asked + row.answer])
    zeros = [torch.zeros(1, ids.shape[1], module.in_features, requires_grad=True) for module in modules]
    entered = {}
    hooks = []
    for n, module in enumerate(modules):

        def enter(_module, given, n=n):
            entered[n] = given[0].detach()
            return (given[0] + zeros[n],)

        hooks.append(module.register_forward_pre_hook(enter))
    spread = model.model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
    for hook in hooks:
        hook.remove()
    start = len(row.shared) + len(row.asked)
    loss = -sum(spread[start + n - 1, token] for n, token in enumerate(row.answer))
    gradients = torch.autograd.grad(loss, zeros)
    own = slice(len(row.shared), None)
    pairs = [(entered[n][0, own], gradients[n][0, own]) for n in range(len(modules))]
    return pairs[: len(layers)], pairs[len(layers) :]


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_traces_are_those_of_autograd_by_hand(family):
    model = toy_model(family)
    rows = some_rows(model)
    found = trace(model, rows, tokens=300)
    heads = model.model.config.num_attention_heads
    neurons, blocks, count = [], [], 0
    for row in rows:
        feed, attention = by_hand(model, row)
        neurons.append([torch.stack([(a * g).abs().sum(0), (g * g).sum(0), a.abs().sum(0)]) for a, g in feed])
        split = [
            ((a * g).view(len(a), heads, -1).sum(-1), (g * g).view(len(a), heads, -1).sum(-1)) for a, g in attention
        ]
        blocks.append([torch.stack([product.abs().sum(0), square.sum(0)]) for product, square in split])
        count += row.own
    by_layer = [sum(layers) / count for layers in zip(*neurons, strict=True)]
    by_head = [sum(layers) / count for layers in zip(*blocks, strict=True)]
    assert found.tokens == count
    for n, name in enumerate(("saliency", "fisher", "activity")):
        assert np.allclose(
            getattr(found, name), torch.stack([layer[n] for layer in by_layer]).detach(), rtol=2e-3, atol=1e-7
        )
    for n, name in enumerate(("head_saliency", "head_fisher")):
        assert np.allclose(
            getattr(found, name), torch.stack([layer[n] for layer in by_head]).detach(), rtol=2e-3, atol=1e-7
        )


def test_tracing_leaves_the_model_as_it_was():
    model = toy_model()
    rows = some_rows(model)
    before = _hash_tensors(model.model)
    first, second = trace(model, rows), trace(model, rows)
    gradient_norms(model, rows)
    assert np.array_equal(first.saliency, second.saliency)
    assert _hash_tensors(model.model) == before
    assert not any(p.requires_grad or p.grad is not None for p in model.model.parameters())
    assert not any(module._forward_pre_hooks for module in model.model.modules())


def test_gradient_norms_are_those_of_the_weights_own_gradients():
    model = toy_model()
    rows = some_rows(model, 2)
    mlp = model.model.get_decoder().layers[1].mlp
    weights = [mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight]
    for weight in weights:
        weight.requires_grad_(True)
    total = 0
    for row in rows:
        ids = torch.tensor([row.shared + row.asked + row.answer])
        spread = model.model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        start = len(row.shared) + len(row.asked)
        total = total - sum(spread[start + n - 1, token] for n, token in enumerate(row.answer))
    gate, up, down = torch.autograd.grad(total, weights)
    for weight in weights:
        weight.requires_grad_(False)
    expected = (gate.square().sum(1) + up.square().sum(1) + down.square().sum(0)).sqrt()
    assert np.allclose(gradient_norms(model, rows)[1], expected, rtol=1e-3)


def test_the_margin_does_not_vanish_where_the_model_is_certain():
    logits = torch.tensor([[12.0, 0.0, 1.0]], requires_grad=True)
    targets = torch.tensor([0])
    of_loss, of_margin = (torch.autograd.grad(f(logits, targets), logits)[0] for f in (summed_loss, summed_margin))
    assert of_loss.abs().max() < 1e-4
    expected = torch.tensor([0.0, 1.0]).softmax(0).tolist()
    assert of_margin[0].tolist() == pytest.approx([-1.0, *expected])
    above = float(torch.tensor([0.0, 1.0]).logsumexp(0))
    assert float(summed_margin(logits, targets).detach()) == pytest.approx(above - 12)


def test_a_trace_of_the_margin_is_another_one():
    model = toy_model()
    rows = some_rows(model, 2)
    loss, margin = (trace(model, rows, signal=signal) for signal in Signal)
    assert np.array_equal(loss.activity, margin.activity)
    assert not np.allclose(loss.saliency, margin.saliency)


def test_weight_norms_join_the_rows_and_the_column_of_a_neuron():
    model = toy_model()
    mlp = model.model.get_decoder().layers[0].mlp
    parts = (mlp.gate_proj.weight[7], mlp.up_proj.weight[7], mlp.down_proj.weight[:, 7])
    assert weight_norms(model)[0, 7] == pytest.approx(float(torch.cat(parts).norm()), rel=1e-6)
