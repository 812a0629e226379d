"""Neurons where an answer is read, and gradients by layer: against plain passes, and measures by hand."""

import numpy as np
import pytest
import torch

from llm.prompt import SERVED, Wording, judge
from llm.score.naive import NaiveScorer
from tests.llm.toys import context, toy_model
from unlearning.concept.gradients import angle, gram, layer_gradients
from unlearning.concept.overlap import Spread, centred_cosine, cka, judged_rows, likeness, read
from unlearning.concept.rows import Turn, encode_rows

OTHER = Wording(judge="Good? yes or no.", candidate="Film:")


@pytest.mark.parametrize("wording", [SERVED, OTHER])
def test_neurons_and_leaning_are_those_of_one_prompt_a_pass(wording):
    model, people = toy_model(), [context(seed, candidates=3) for seed in range(2)]
    found = read(model, judged_rows(model, people, wording))
    naive = np.concatenate([one.values for one in NaiveScorer(model, wording=wording).score(people)])
    assert found.leaning == pytest.approx(naive, abs=1e-4)
    assert found.neurons.shape == (2, 6, 48)
    asked = judge(people[1], wording)
    entered = []
    hooks = [
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, given: entered.append(given[0][0, -1]))
        for layer in model.model.get_decoder().layers
    ]
    with torch.inference_mode():
        model.model(torch.tensor([model.prompt(asked.prefix + asked.suffixes[2])]))
    for hook in hooks:
        hook.remove()
    assert found.neurons[:, 5] == pytest.approx(torch.stack(entered).numpy(), abs=1e-4)


def test_what_is_not_one_token_or_has_a_past_is_refused():
    model = toy_model()
    with pytest.raises(ValueError, match="one token each"):
        read(model, encode_rows(model, [Turn("When?", "no")]))
    with pytest.raises(ValueError, match="earlier turns"):
        judged_rows(model, [context(0)], Wording(earlier=(("a", "b"),)))


def test_centred_cosine_tells_apart_what_raw_cosine_does_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 30)).astype(np.float32) + np.float32(50)
    raw = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert raw.min() > 0.99
    assert abs(centred_cosine(a, b).mean()) < 0.1
    assert centred_cosine(a, a) == pytest.approx(np.ones(40), abs=1e-5)
    table = likeness(a)
    assert np.diag(table) == pytest.approx(np.ones(40), abs=1e-5)
    assert table[0, 1] == pytest.approx(float(np.corrcoef((a - a.mean(0))[[0, 1]])[0, 1]), abs=0.1)


def test_cka_forgives_rotation_scale_and_shift_alone():
    rng = np.random.default_rng(1)
    a, other = rng.normal(size=(2, 200, 6)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0].astype(np.float32)
    assert cka(a, 3 * a @ turn + 7) == pytest.approx(1, abs=1e-5)
    assert cka(a, other) < 0.15
    assert np.isnan(cka(a, np.ones_like(a)))


def test_the_share_of_the_wording_by_hand():
    rows = np.array([[[1.0, 0.0], [-1.0, 0.0]]], dtype=np.float32)
    same, apart, both = Spread(), Spread(), Spread()
    for wording in range(2):
        shift = np.array([0.0, 2.0 * wording], dtype=np.float32)
        same.add(rows)
        apart.add(np.zeros_like(rows) + shift)
        both.add(rows + shift)
    assert same.share().tolist() == [0]
    assert apart.share().tolist() == [1]
    assert both.share() == pytest.approx([1 / 2])  # the rows' variance is 1, and so is that of the shifts 0 and 2


def test_gradients_by_layer_are_autograds_and_leave_no_trace():
    model = toy_model()
    rows = encode_rows(model, [Turn("When?", "1999"), Turn("Who?", "yes")])
    found = layer_gradients(model, rows)
    assert not any(p.requires_grad or p.grad is not None for p in model.model.parameters())
    layers = model.model.get_decoder().layers
    weights = [getattr(layer.mlp, name).weight for layer in layers for name in ("down_proj", "gate_proj", "up_proj")]
    for weight in weights:
        weight.requires_grad_(True)
    loss = torch.tensor(0.0)
    for row in rows:
        ids = torch.tensor([row.shared + row.asked + row.answer])
        logits = model.model(ids).logits[0, -len(row.answer) - 1 : -1]
        loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(row.answer), reduction="sum")
    loss.backward()
    for place, gradient in enumerate(found):
        expected = torch.cat([weight.grad.flatten() for weight in weights[3 * place : 3 * place + 3]])
        assert gradient.numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_angles_by_hand():
    one, up = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    (products,) = gram([(one,), (up,), (-one,)])
    assert products.tolist() == [[1, 0, -1], [0, 9, 0], [-1, 0, 1]]
    first, second, third = np.eye(3)
    assert [angle(products, first, other) for other in (first, second, third)] == [0, 90, 180]
    assert angle(products, first, first + second / 3) == pytest.approx(45)
    assert np.isnan(angle(products, first, first + third))
