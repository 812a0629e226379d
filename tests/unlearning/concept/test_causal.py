from dataclasses import replace

import pytest
import torch

from tests.llm.toys import toy_model
from tests.unlearning.concept.world import catalogue, concept
from unlearning.concept.base import ProbeKind, Use, lesson
from unlearning.concept.causal import ablated, causal_check
from unlearning.concept.choosing import choose
from unlearning.concept.mask import from_pairs
from unlearning.concept.places import shape_of
from unlearning.concept.probes import build_probes
from unlearning.concept.recall import recall
from unlearning.concept.scoring import random_neurons
from unlearning.concept.settings import ConceptSettings, MaskName
from unlearning.concept.stability import stability

LAYER, NEURON = 1, 17


def entering(model, text):
    """What enters the last layer's feed-forward part where the answer begins, [hidden]."""
    kept = []
    hook = model.model.get_decoder().layers[LAYER].mlp.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    with torch.inference_mode():
        model.model(input_ids=torch.tensor([model.prompt(text)]))
    hook.remove()
    return kept[0][0, -1]


def knowing_model(asked):
    """A random model in which one neuron carries a fact: it fires for the concept, not its controls, and says it."""
    model = toy_model(seed=1)
    with torch.no_grad():  # the first layer says little, or the fact would hang on what it says
        model.model.get_decoder().layers[0].mlp.down_proj.weight *= 0.05
    firing = torch.stack([entering(model, probe.question) for probe in asked])
    silent = torch.stack([entering(model, probe.contrast) for probe in asked])
    wanted = torch.cat([torch.full((len(asked),), 3.0), torch.zeros(len(asked))])
    direction = torch.linalg.lstsq(torch.cat([firing, silent]), wanted, driver="gelsd").solution
    mlp = model.model.get_decoder().layers[LAYER].mlp
    answer = model.encode([asked[0].answers[0]])[0][0]
    with torch.no_grad():
        mlp.gate_proj.weight[NEURON] = direction
        mlp.up_proj.weight[NEURON] = direction
        mlp.down_proj.weight[:, NEURON] = 3 * model.model.get_input_embeddings().weight[answer]
    return model


def lesson_and_probes():
    made = lesson(concept(), build_probes(concept(), catalogue(), seed=0))
    asked = [p for p in made.probes.of(ProbeKind.DIRECT, use=Use.TRAIN) if p.item == "28" and p.answers == ("1958",)]
    few = tuple(replace(probe, answers=("1",), contrast_answer="9") for probe in asked[:6])
    kept = made.probes.kept(Use.TRAIN).probes[:4]
    return lesson(concept(), (*few, *kept)), few


def seed_without_it(shape):
    """A seed of which no random set has the neuron by chance."""
    for seed in range(100):
        if not any(NEURON in random_neurons(shape, 2, seed=20 * seed + n).neurons[LAYER] for n in range(20)):
            return seed
    raise AssertionError("no such seed")


def test_a_neuron_that_carries_the_fact_is_found_and_its_loss_is_felt():
    taught, asked = lesson_and_probes()
    model = knowing_model(asked)
    assert recall(model, asked).log_prob.mean() > recall(toy_model(seed=1), asked).log_prob.mean() + 2  # it was planted
    choice = choose(model, taught, ConceptSettings(neurons=2, cap=0.5), seed=0)
    assert choice.mask.neurons[LAYER] == (NEURON,)
    check = causal_check(model, choice.mask, asked, draws=20, seed=seed_without_it(choice.mask.shape))
    assert check.passed
    assert check.beats_layered >= 0.8
    assert check.chosen > 2 > check.chosen_controls
    assert len(check.random) == len(check.layered) == 20


def test_neurons_that_carry_nothing_fail_the_check():
    taught, asked = lesson_and_probes()
    model = knowing_model(asked)
    idle = from_pairs(shape_of(model.model), [(0, 3), (1, 4)], "random")
    assert not causal_check(model, idle, asked, draws=20, seed=0).passed
    assert taught.concept == concept()


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_an_ablated_place_gives_nothing_and_comes_back(family):
    model = toy_model(family)
    ids = torch.tensor([model.prompt("When?")])
    mask = replace(from_pairs(shape_of(model.model), [(0, 3), (1, 9)], "random"), heads=((), (2,)))
    before = model.model(input_ids=ids).logits
    with ablated(model, mask):
        found = model.model(input_ids=ids).logits
    assert torch.equal(model.model(input_ids=ids).logits, before)
    size = model.model.get_decoder().layers[1].self_attn.o_proj.in_features // 4
    with torch.no_grad():
        model.model.get_decoder().layers[0].mlp.down_proj.weight[:, 3] = 0
        model.model.get_decoder().layers[1].mlp.down_proj.weight[:, 9] = 0
        model.model.get_decoder().layers[1].self_attn.o_proj.weight[:, 2 * size : 3 * size] = 0
    assert torch.allclose(found, model.model(input_ids=ids).logits, atol=1e-5)
    assert not torch.allclose(found, before, atol=1e-3)


def test_masks_from_halves_of_the_prompts_overlap_more_than_chance():
    taught, asked = lesson_and_probes()
    found = stability(knowing_model(asked), taught, ConceptSettings(neurons=12, cap=0.5), splits=2, seed=0)
    assert min(*found.halves, *found.seeds) > 2 * found.chance
    assert (len(found.halves), len(found.seeds)) == (2, 1)
    assert found.chance == pytest.approx(12 / 96 / (2 - 12 / 96))
    assert 0 < found.saliency_fisher <= 1


@pytest.mark.parametrize("name", [MaskName.RANDOM, MaskName.LAYERED, MaskName.FISHER, MaskName.MAGNITUDE])
def test_every_mask_has_the_neurons_and_heads_asked_for(name):
    taught, asked = lesson_and_probes()
    choice = choose(knowing_model(asked), taught, ConceptSettings(neurons=5, heads=3, mask=name), seed=2)
    assert choice.mask.size == 5
    assert sum(map(len, choice.mask.heads)) == 3
    assert (choice.scores is None) == (name in (MaskName.RANDOM, MaskName.LAYERED))
    assert [len(scores) for scores in choice.chosen_scores] == (
        [] if choice.scores is None else [*map(len, choice.mask.neurons)]
    )
