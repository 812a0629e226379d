from math import exp, log

import pytest
import torch

from unlearning.concept import losses
from unlearning.concept.losses import OBJECTIVES, Reading, Terms
from unlearning.concept.settings import LossName

OWN = Reading(torch.tensor([-2.0, -6.0]), torch.tensor([2.0, 3.0]))
OWN_BASE = Reading(torch.tensor([-1.0, -7.0]), OWN.lengths)
TAUGHT = Reading(torch.tensor([-4.0, -1.0]), torch.tensor([4.0, 1.0]))
TAUGHT_BASE = Reading(torch.tensor([-5.0, -3.0]), TAUGHT.lengths)
KEPT = Reading(torch.tensor([-3.0]), torch.tensor([6.0]))


def softplus(x):
    return log(1 + exp(x))


def test_refusal_is_the_cross_entropy_a_token_of_what_is_taught():
    assert losses.refusal(Terms(taught=TAUGHT)) == pytest.approx(5 / 5)


def test_ascent_is_the_negative_cross_entropy_a_token():
    assert losses.ascent(Terms(own=OWN)) == pytest.approx(-8 / 5)


def test_grad_diff_adds_descent_on_what_is_kept():
    assert losses.grad_diff(Terms(own=OWN, kept=KEPT)) == pytest.approx(3 / 6 - 8 / 5)


def test_npo_weighs_the_ratio_to_the_base():
    expected = 2 / 0.5 * (softplus(0.5 * -1) + softplus(0.5 * 1)) / 2
    assert losses.npo(Terms(own=OWN, own_base=OWN_BASE), beta=0.5) == pytest.approx(expected)


def test_npo_at_the_base_is_two_log_two_over_beta_and_its_gradient_that_of_ascent():
    own = torch.tensor([-2.0, -6.0], requires_grad=True)
    loss = losses.npo(Terms(own=Reading(own, OWN.lengths), own_base=Reading(own.detach(), OWN.lengths)), beta=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(20 * log(2))
    assert own.grad.tolist() == pytest.approx([0.5, 0.5])


def test_simnpo_weighs_by_length_without_a_base():
    expected = 2 / 2.5 * (softplus(2.5 * -1 + 0.3) + softplus(2.5 * -2 + 0.3)) / 2
    assert losses.simnpo(Terms(own=OWN), gamma=0.3) == pytest.approx(expected)


def test_alternate_prefers_what_is_taught_against_the_base():
    expected = 2 / 0.5 * (softplus(-0.5 * 2) + softplus(-0.5 * 1)) / 2
    terms = Terms(own=OWN, own_base=OWN_BASE, taught=TAUGHT, taught_base=TAUGHT_BASE)
    assert losses.alternate(terms, beta=0.5) == pytest.approx(expected)


def test_rmu_is_the_mean_squared_distance_from_the_control():
    terms = Terms(states=torch.tensor([[1.0, 2.0], [3.0, 0.0]]), control=torch.tensor([1.0, 0.0]))
    assert losses.rmu(terms) == pytest.approx((0 + 4 + 4 + 0) / 4)


def test_kl_is_of_the_base_from_the_model_and_nothing_where_they_agree():
    base, model = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert losses.kept_kl(model, base) == pytest.approx(0.5 * log(2) + 0.5 * log(0.5 / 0.75))
    assert losses.kept_kl(base, base) == 0


def test_states_stray_by_their_distance_in_lengths_of_the_base_and_not_at_all_at_the_beginning():
    base = torch.tensor([[3.0, 4.0], [0.0, 15.0]])
    states = torch.tensor([[3.0, 4.0], [9.0, 3.0]], requires_grad=True)
    found = losses.strayed(states, base)
    assert found.item() == pytest.approx((0 + 15) / (5 + 15))
    found.backward()
    assert states.grad[0].tolist() == [0, 0]
    assert states.grad[1].tolist() == pytest.approx([9 / 15 / 20, -12 / 15 / 20])


def test_excess_is_what_targets_are_likelier_than_the_ceiling_and_ends_below_it():
    said = torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.25, 0.75]]).log().requires_grad_()
    ceiling = torch.tensor([[0.25, 0.75], [0.2, 0.8], [0.25, 0.75]]).log()
    found = losses.excess(said, ceiling, torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx(log(0.5 / 0.25) / 3)
    found.backward()
    assert (said.grad != 0).tolist() == [[True, False], [False, False], [False, False]]


def test_judgements_stray_to_both_sides_and_favour_to_one():
    leanings, base = torch.tensor([0.5, -1.0, 2.0], requires_grad=True), torch.tensor([0.25, 0.0, 2.0])
    assert losses.swayed(leanings, base).item() == pytest.approx((0.25 + 1) / 3)
    found = losses.favoured(leanings, base)
    assert found.item() == pytest.approx(0.25 / 3)
    found.backward()
    assert (leanings.grad != 0).tolist() == [True, False, False]


def test_every_loss_is_there_and_reads_no_more_than_it_says():
    every = {
        "own": OWN,
        "own_base": OWN_BASE,
        "taught": TAUGHT,
        "taught_base": TAUGHT_BASE,
        "kept": KEPT,
        "states": torch.ones(2, 3),
        "control": torch.zeros(3),
    }
    assert set(OBJECTIVES) == set(LossName)
    for objective in OBJECTIVES.values():
        alone = objective.loss(Terms(**{name: every[name] for name in objective.needs}))
        assert alone == objective.loss(Terms(**every))
        for name in objective.needs:
            with pytest.raises(ValueError, match=r"was not given|rmu reads"):
                objective.loss(Terms(**{other: every[other] for other in objective.needs - {name}}))
