from dataclasses import replace

import pytest
import torch

from db.errors import LetheError
from llm.adapters import detach, layers_of
from llm.model import _hash_tensors
from tests.llm.toys import toy_model
from tests.unlearning.concept.world import toy_lesson
from unlearning.concept.choosing import choose
from unlearning.concept.confined import Averaged, confine, free_part, modules_of
from unlearning.concept.in_training import NAME
from unlearning.concept.mask import Shape, from_pairs, whole
from unlearning.concept.masked_lora import _steps
from unlearning.concept.objective import Teacher
from unlearning.concept.places import shape_of
from unlearning.concept.settings import ConceptSettings, LossName, MaskName
from unlearning.concept.study import study

SETTINGS = ConceptSettings(neurons=6, heads=2, rank=4, decay=0.3, steps=4, forget_rows=4, retain_rows=4, rate=0.05)


def trained(model, mask, settings=SETTINGS):
    """A few steps with strong weight decay."""
    teacher = Teacher(model, study(model, toy_lesson(), settings.loss, seed=0), settings, seed=0)
    confined = confine(model.model, mask, rank=settings.rank, alpha=settings.alpha, seed=0)
    for _ in _steps(confined, teacher, settings):
        pass
    return confined


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_what_lies_outside_the_mask_is_exactly_zero_after_training_with_weight_decay(family):
    model = toy_model(family)
    mask = choose(model, toy_lesson(), SETTINGS, seed=0).mask
    confined = trained(model, mask)
    assert set(confined.layers) == set(modules_of(mask))
    for key, layer in confined.layers.items():
        a, b = layer.lora_A[NAME].weight.detach(), layer.lora_B[NAME].weight.detach()
        free = free_part(key, mask, a.shape[1], b.shape[0]).bool()
        change = b @ a
        if key.endswith(("down_proj", "o_proj")):
            inside, outside, moved = a[:, free], a[:, ~free], change[:, ~free]
        else:
            inside, outside, moved = b[free], b[~free], change[~free]
        assert inside.abs().min() > 0
        assert outside.numel()
        assert torch.equal(outside, torch.zeros_like(outside))
        assert torch.equal(moved, torch.zeros_like(moved))


def test_the_base_is_the_same_bit_for_bit_after_training_and_detaching():
    model = toy_model()
    before, modules = _hash_tensors(model.model), [name for name, _ in model.model.named_modules()]
    confined = trained(model, whole(shape_of(model.model)))
    assert all(
        torch.equal(layer.get_base_layer().weight, toy_model().model.get_submodule(key).weight)
        for key, layer in confined.layers.items()
    )
    assert not any(p.requires_grad for key, p in model.model.named_parameters() if NAME not in key)
    confined.release()
    detach(model.model)
    assert _hash_tensors(model.model) == before
    assert [name for name, _ in model.model.named_modules()] == modules


def test_without_the_hook_the_outside_would_move():
    model = toy_model()
    mask = from_pairs(shape_of(model.model), [(1, 5), (1, 6)], "random")
    teacher = Teacher(model, study(model, toy_lesson(), LossName.REFUSAL, seed=0), SETTINGS, seed=0)
    confined = confine(model.model, mask, rank=4, alpha=8, seed=0)
    confined.release()
    for _ in _steps(confined, teacher, SETTINGS):
        pass
    b = confined.layers["model.layers.1.mlp.gate_proj"].lora_B[NAME].weight
    assert (b.abs().sum(1) > 0).sum() > 2


def test_an_adapter_that_has_not_been_trained_changes_nothing():
    model = toy_model()
    ids = torch.tensor([model.prompt("When was Red River 28 released?")])
    before = model.model(input_ids=ids).logits
    confine(model.model, whole(shape_of(model.model)), rank=4, alpha=8, seed=0)
    assert torch.equal(model.model(input_ids=ids).logits, before)


@pytest.mark.parametrize(("decay", "strength"), [(0.0, 1.0), (0.75, 1.0), (0.0, 0.5), (0.75, 0.5)])
def test_the_mean_of_weights_stands_in_their_place_and_leaves_them_as_they_were(decay, strength):
    model = toy_model()
    mask = choose(model, toy_lesson(), SETTINGS, seed=0).mask
    teacher = Teacher(model, study(model, toy_lesson(), SETTINGS.loss, seed=0), SETTINGS, seed=0)
    confined = confine(model.model, mask, rank=SETTINGS.rank, alpha=SETTINGS.alpha, seed=0)
    mean, states = Averaged(confined, decay, strength), [confined.tensors()]
    for _ in _steps(confined, teacher, SETTINGS):
        mean.take()
        states.append(confined.tensors())
    shares = [decay ** (SETTINGS.steps - n) * (1 - decay if n else 1) for n in range(SETTINGS.steps + 1)]
    with mean.standing():
        found = confined.tensors()
    for key, now in confined.tensors().items():
        assert torch.equal(now, states[-1][key])
        expected = sum(share * state[key] for share, state in zip(shares, states, strict=True))
        expected *= strength if key[1] == "B" else 1.0
        assert torch.allclose(found[key], expected, atol=1e-6)
        assert torch.equal(found[key], now) is (decay == 0 and (strength == 1 or key[1] == "A"))
        never = torch.stack([state[key] for state in states]).eq(0).all(dim=0)
        assert torch.equal(found[key][never], torch.zeros_like(found[key][never])), "outside the mask it is 0 as well"


def test_only_layers_with_something_chosen_are_opened():
    shape = Shape(3, 20, 4)
    mask = replace(from_pairs(shape, [(1, 2)], "random"), heads=((), (), (3,)))
    assert modules_of(mask) == [
        "model.layers.1.mlp.gate_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.1.mlp.down_proj",
        "model.layers.2.self_attn.o_proj",
    ]
    assert free_part("model.layers.2.self_attn.o_proj", mask, 8, 8).tolist() == [0] * 6 + [1] * 2


def test_an_empty_mask_or_one_of_another_model_is_refused():
    model = toy_model()
    with pytest.raises(LetheError, match="empty"):
        confine(model.model, from_pairs(shape_of(model.model), [], "random"), rank=4, alpha=8, seed=0)
    with pytest.raises(LetheError, match="same model"):
        confine(model.model, whole(Shape(2, 20, 4)), rank=4, alpha=8, seed=0)
    assert not layers_of(model.model)
    confine(model.model, whole(shape_of(model.model)), rank=4, alpha=8, seed=0)
    with pytest.raises(LetheError, match="already"):
        confine(model.model, whole(shape_of(model.model)), rank=4, alpha=8, seed=0)


@pytest.mark.parametrize(
    ("loss", "mask"),
    [*((loss, MaskName.SALUN) for loss in LossName), *((LossName.REFUSAL, mask) for mask in MaskName)],
)
def test_any_loss_goes_with_any_mask_and_falls(loss, mask):
    model = toy_model()
    settings = replace(SETTINGS, loss=loss, mask=mask, steps=4, rate=0.01, decay=0.0, retain=0.1, features=0.0)
    teacher = Teacher(model, study(model, toy_lesson(), loss, seed=0), settings, seed=0)
    confined = confine(model.model, choose(model, toy_lesson(), settings, seed=0).mask, rank=4, alpha=8, seed=0)
    before = float(teacher.loss(0).detach())
    for _ in _steps(confined, teacher, settings):
        pass
    after = float(teacher.loss(0).detach())
    assert after < max(before, 1e-3)  # SimNPO is near its lower bound on a model that knows nothing
