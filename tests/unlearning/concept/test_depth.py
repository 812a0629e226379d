import numpy as np
import pytest
import torch

from tests.unlearning.concept import forks
from unlearning.concept.base import Use
from unlearning.concept.depth import Depth, depth
from unlearning.concept.evaluate import Fork
from unlearning.concept.patching import falls, lens, per_token, states_of
from unlearning.concept.rows import Turn, encode_rows


def found(forgetting):
    return depth(forks.base(), forgetting, forks.oracle(), forks.concept_facts(), forks.kept_facts(Use.TRAIN))


def by_hand(fall, oracle_fall, control=(0.0, 0.0, 0.0)):
    none = np.zeros(3)
    return Depth(np.array(fall), np.array(oracle_fall), np.array(control), none, none, none)


def test_the_base_has_no_depth_and_the_oracle_all():
    base, oracle = found(Fork(forks.base())), found(Fork(forks.oracle()))
    assert not base.void
    assert not oracle.void
    assert base.score == pytest.approx(0, abs=1e-5)
    assert oracle.score == 1
    np.testing.assert_allclose(base.fall, 0, atol=1e-5)


def test_the_last_layer_of_the_lens_is_the_models_own_answer():
    one = found(Fork(forks.oracle()))
    rows = encode_rows(forks.base(), [Turn(p.question, p.answers[0]) for p in forks.concept_facts()])
    assert one.lens_base[-1] == pytest.approx(per_token(forks.base(), rows).mean(), abs=1e-4)
    assert one.lens_oracle[-1] < one.lens_base[-1] - 1


def test_patching_the_last_layer_is_the_other_model():
    """Its states go straight to the output; the last norm and the embeddings are the fork's but for training."""
    base, oracle = forks.base(), forks.oracle()
    oracle.model.get_decoder().norm.load_state_dict(base.model.get_decoder().norm.state_dict())
    oracle.model.get_output_embeddings().load_state_dict(base.model.get_output_embeddings().state_dict())
    rows = encode_rows(base, [Turn(p.question, p.answers[0]) for p in forks.concept_facts()])
    expected = (per_token(base, rows) - per_token(oracle, rows)).mean()
    assert falls(base, rows, states_of(oracle, rows))[-1] == pytest.approx(expected, abs=1e-4)


def test_states_are_those_of_one_prompt_a_pass():
    base, rows = forks.base(), None
    rows = encode_rows(base, [Turn(p.question, p.answers[0]) for p in forks.concept_facts()[:3]])
    states = states_of(base, rows)
    row, start = rows[1], states.starts[1]
    with torch.inference_mode():
        alone = base.model(torch.tensor([[*row.shared, *row.asked, *row.answer]]), output_hidden_states=True)
    own = alone.hidden_states[1][0, len(row.shared) :]
    torch.testing.assert_close(states.layers[0][start : start + row.own], own, atol=1e-5, rtol=1e-4)


def test_a_single_layer_that_still_carries_it_is_seen():
    """The score by hand: weights .2 and .6, of which the second has gone by half; the first layer does not tell."""
    one = by_hand([0.0, 0.2, 0.3], [0.04, 0.2, 0.6])
    assert one.score == pytest.approx((0.2 * 1 + 0.6 * 0.5) / 0.8)
    assert np.isnan(one.by_layer[0])
    assert one.by_layer[1:].tolist() == [1, 0.5]


def test_falls_beyond_the_oracle_and_gains_are_clipped():
    assert by_hand([9.0, -9.0, 0.0], [1.0, 1.0, 0.0]).score == 0.5


def test_depth_is_void_where_the_control_moves_or_nothing_tells():
    moved = by_hand([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], control=(0.0, 0.06, 0.0))
    silent = by_hand([0.0, 0.0, 0.0], [0.05, 0.0, 0.01])
    for one in (moved, silent):
        assert one.void
        assert np.isnan(one.score)


def test_depth_is_void_without_a_fact_that_both_know():
    assert depth(forks.base(), Fork(forks.base()), forks.oracle(), forks.concept_facts(), ()).void


def test_the_model_is_as_it_was():
    base = forks.base()
    rows = encode_rows(base, [Turn(p.question, p.answers[0]) for p in forks.kept_facts()])
    before = per_token(base, rows)
    depth(base, Fork(forks.oracle()), forks.oracle(), forks.concept_facts(), forks.kept_facts())
    np.testing.assert_array_equal(per_token(base, rows), before)
    assert lens(base, rows, states_of(base, rows)).shape == (2,)
