"""The attacker of a fit: what it is taught and asked, whom its loss pulls, and that it leaves nothing behind."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from db.errors import LetheError
from llm.adapters import acting, layers_of
from llm.model import _hash_tensors
from tests.unlearning.concept.world import probes, toy_lesson
from unlearning.concept import relearner as module
from unlearning.concept.base import ProbeKind, Use
from unlearning.concept.in_training import NAME
from unlearning.concept.masked_lora import MaskedLora
from unlearning.concept.relearner import Relearner, halved, relearner
from unlearning.concept.rows import answer_states, logits_of, one_batch
from unlearning.concept.settings import ConceptSettings, LossName, Sparing
from unlearning.concept.study import Part, subjects_of

SETTINGS = ConceptSettings(unknown_rows=4, loss=LossName.RESISTED_ASCENT)


def test_no_subject_is_taught_and_asked(read):
    unknown = read.units_of(Part.UNKNOWN_FACT)
    assert len(read.subjects) == len(unknown)
    items = {item.id for item in toy_lesson().concept.items}
    assert set(read.subjects) == items
    subject = dict(zip(unknown, read.subjects, strict=True))
    for seed in range(4):
        taught, asked = halved(read, np.random.default_rng(seed))
        assert sorted([*taught, *asked]) == unknown
        assert {subject[unit] for unit in taught}.isdisjoint(subject[unit] for unit in asked)


def test_a_single_items_facts_are_halved_by_answer_and_one_that_tells_another_is_left_out():
    own = toy_lesson().concept.items[0].id
    facts = [one for one in probes().of(ProbeKind.DIRECT, use=Use.TRAIN).probes if one.item == own]
    found = dict(zip([one.answers[0] for one in facts], subjects_of(facts), strict=True))
    assert found["1958"] == "1958"
    tells = [answer for answer, name in found.items() if not name]
    assert tells
    assert all("1958" in answer for answer in tells)


def test_the_adapter_alone_is_pulled_and_nothing_stays_behind(model, read, confined):
    before = {name: weight.detach().clone() for name, weight in model.model.named_parameters()}
    free, active = {n for n, w in model.model.named_parameters() if w.requires_grad}, acting(model.model)
    with relearner(model, read, SETTINGS, seed=0) as attacker:
        loss = attacker.loss(0)
        assert loss.item() > 0
        loss.backward()
        pulled = {n for n, w in model.model.named_parameters() if w.grad is not None and w.grad.abs().sum() > 0}
        assert pulled
        assert all(f".{NAME}." in name for name in pulled)
        assert acting(model.model) == active
    assert acting(model.model) == active
    assert {n for n, w in model.model.named_parameters() if w.requires_grad} == free
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.named_parameters())
    assert not any(module.NAME in layer.lora_A for layer in layers_of(model.model).values())


def test_the_attacker_learns_what_it_is_taught_until_another_comes(model, read, confined, monkeypatch):
    monkeypatch.setattr(module, "RATE", 0.02)
    monkeypatch.setattr(module, "LIVES", (8, 8))
    monkeypatch.setattr(module, "LEARNED", 1)
    monkeypatch.setattr(module, "COUNT", 1)
    attacker = Relearner(model, read, SETTINGS, seed=0)

    def missed():
        units = attacker._attackers[0].halves[0]
        batch = one_batch([read.kept[unit][0] for unit in units], model.device)
        with torch.no_grad(), attacker._acting():
            spread = logits_of(model, answer_states(model, batch))
        return torch.nn.functional.cross_entropy(spread, batch.targets).item()

    found = []
    for step in range(9):
        attacker.loss(step)
        found.append(missed())
    assert found[7] < 0.7 * found[0]
    assert found[8] > found[7]  # drawn anew


def test_attackers_take_turns_with_weights_and_halves_of_their_own(model, read, confined, monkeypatch):
    monkeypatch.setattr(module, "COUNT", 3)
    pool = Relearner(model, read, SETTINGS, seed=0)
    started = [[own.clone() for own in one.tensors] for one in pool._attackers]
    assert len({tuple(one.halves[0]) for one in pool._attackers}) > 1

    def moved():
        pairs = zip(pool._attackers, started, strict=True)
        return [any(not torch.equal(*both) for both in zip(one.tensors, before, strict=True)) for one, before in pairs]

    for step in range(3):
        pool.loss(step)
        assert moved() == [place <= step for place in range(3)]
    lives = [one.left for one in pool._attackers]
    assert all(module.LIVES[0] <= left + module.LEARNED <= module.LIVES[1] for left in lives)
    pool.loss(3)
    assert pool._attackers[0].left == lives[0] - module.LEARNED


def test_equal_seeds_give_equal_attackers(model, read, confined):
    first, again, other = (
        [one.loss(step).item() for step in range(5)]
        for seed in (0, 0, 1)
        for one in [Relearner(model, read, SETTINGS, seed=seed)]
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("loss", [loss for loss in LossName if loss is not LossName.RESISTED_ASCENT])
def test_beside_another_loss_there_is_no_attacker(model, read, loss):
    digest = _hash_tensors(model.model)
    with relearner(model, read, replace(SETTINGS, loss=loss), seed=0) as attacker:
        assert attacker is None
    assert _hash_tensors(model.model) == digest


def test_facts_that_cannot_be_halved_are_refused_with_a_method_that_can(model, read):
    single = replace(read, subjects=("one",) * len(read.subjects))
    with pytest.raises(LetheError, match=r"1 of the concept's facts .* use bounded_ascent"):
        relearner(model, single, SETTINGS, seed=0).__enter__()
    assert not layers_of(model.model)


def test_what_is_kept_of_a_fit_beside_attackers_is_the_mean_of_its_weights_and_of_any_other_the_last(
    model, monkeypatch
):
    small = replace(SETTINGS, neurons=6, rank=2, steps=3, check_every=2, enough=10.0, rate=0.02)
    for loss, same in ((LossName.BOUNDED_ASCENT, True), (LossName.RESISTED_ASCENT, False)):
        fits = []
        for decay in (0.9, 0.0):
            monkeypatch.setattr("unlearning.concept.masked_lora.AVERAGED", decay)
            fits.append(MaskedLora(replace(small, loss=loss)).fit(model, toy_lesson(), seed=0).file.tensors)
        mean, last = fits
        assert all(torch.equal(mean[key], last[key]) for key in last) is same


@pytest.mark.parametrize(("few", "way"), [(8, "OF_FEW"), (0, "OF_MANY")])
def test_an_adapter_fitted_beside_attackers_is_kept_at_its_strength_and_any_other_whole(model, monkeypatch, few, way):
    monkeypatch.setattr("unlearning.concept.settings.FEW", few)
    monkeypatch.setattr(ConceptSettings, "steps_for", lambda settings, _items: settings.steps)
    small = replace(SETTINGS, neurons=6, rank=2, steps=3, check_every=2, enough=10.0, rate=0.02)
    for loss, share in ((LossName.BOUNDED_ASCENT, 1.0), (LossName.RESISTED_ASCENT, 0.5)):
        fits = []
        for strength in (1.0, 0.5):
            monkeypatch.setattr(f"unlearning.concept.settings.{way}", Sparing(dropout=0.1, served=strength))
            fits.append(MaskedLora(replace(small, loss=loss)).fit(model, toy_lesson(), seed=0).file.tensors)
        whole_one, kept = fits
        assert any(whole_one[key].any() for key in whole_one if key[1] == "B")
        for key, tensor in whole_one.items():
            assert torch.equal(kept[key], tensor * (share if key[1] == "B" else 1.0))


def test_attackers_face_a_share_of_what_the_adapter_adds_and_the_rest_is_put_back(model, read, confined, monkeypatch):
    scales = {key: layer.scaling[NAME] for key, layer in confined.layers.items()}

    def pulled(share):
        monkeypatch.setattr(module, "FACED", share)
        with relearner(model, read, SETTINGS, seed=0) as attacker:
            return attacker.loss(0).item()

    whole_one, half = pulled(1.0), pulled(0.5)
    assert {key: layer.scaling[NAME] for key, layer in confined.layers.items()} == scales
    with torch.no_grad():
        for layer in confined.layers.values():
            layer.lora_B[NAME].weight.mul_(0.5)
    assert half == pytest.approx(pulled(1.0), rel=1e-5)
    assert half != pytest.approx(whole_one, rel=1e-3)


def test_a_whole_fit_beside_an_attacker_ends_elsewhere_and_leaves_the_base(model):
    digest = _hash_tensors(model.model)
    small = replace(SETTINGS, neurons=6, rank=2, steps=3, check_every=2, forget_rows=4, retain_rows=4, rate=0.02)
    fits, taken = [], []
    for loss in (LossName.BOUNDED_ASCENT, LossName.RESISTED_ASCENT):
        steps: list[int] = []
        easily = replace(small, loss=loss, enough=10.0)
        seen = partial(lambda told, step, _most: told.append(step), steps)
        fits.append(MaskedLora(easily).fit(model, toy_lesson(), seed=0, progress=seen))
        taken.append(max(steps[:-1]))  # the last call says that the bar is full
    assert taken == [2, 8], "what is to withstand attackers meets them for as long as it is to"
    plain, resisted = (made.file.tensors for made in fits)
    assert plain.keys() == resisted.keys()
    assert not all(torch.equal(plain[key], resisted[key]) for key in plain)
    assert _hash_tensors(model.model) == digest
