"""The packed scorer against its oracle: every question asked alone, with the whole prompt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from db.errors import LetheError
from llm.score.attention import _plain, partial_attention
from llm.score.naive import NaiveScorer
from llm.score.packed import PackedScorer, canonicalise, judge_packed, pack
from llm.score.questions import Questions, answers, questions
from tests.llm.toys import context, toy_model

SHAPES = {
    "grouped heads": ("qwen2", {}),
    "one key head": ("qwen2", {"num_key_value_heads": 1}),
    "as many key heads": ("qwen2", {"num_key_value_heads": 4}),
    "untied output": ("qwen2", {"tie_word_embeddings": False}),
    "one layer": ("qwen2", {"num_hidden_layers": 1}),
    # Wider matrices need smaller weights: at 0.2 this one amplifies float32 rounding itself beyond 1e-5.
    "deep and wide": (
        "qwen2",
        {"num_hidden_layers": 6, "hidden_size": 96, "num_attention_heads": 6, "initializer_range": 0.1},
    ),
    "qwen3, normed queries": ("qwen3", {"head_dim": 16}),
    "qwen3, wide heads": ("qwen3", {"head_dim": 24, "num_key_value_heads": 1}),
}


def people():
    """Ragged in every way: history, number of candidates, length of titles; one candidate; twins."""
    wide = context(5, candidates=12, history=3)
    twins = replace(wide, candidates=(*wide.candidates, *wide.candidates[:3]))
    return [context(1, history=0), context(2, candidates=1), twins, context(3, candidates=20, history=9)]


def gap(scorer, oracle, contexts):
    pairs = zip(scorer.score(contexts), oracle.score(contexts), strict=True)
    return max(float(np.abs(a.values - b.values).max()) for a, b in pairs)


@pytest.mark.parametrize("shape", SHAPES)
def test_packed_equals_every_question_asked_alone(shape):
    family, changes = SHAPES[shape]
    model = toy_model(family, **changes)
    oracle, scorer = NaiveScorer(model), PackedScorer(model)
    spread = np.ptp(oracle.score(people())[3].values)
    assert spread > 0.1, "the logits differ far more than the tolerance"
    assert gap(scorer, oracle, people()) <= 1e-5


def test_packed_equals_the_oracle_on_the_real_vocabulary(qwen_tokenizer):
    model = toy_model(tokenizer=qwen_tokenizer, vocab_size=151_936)
    assert gap(PackedScorer(model), NaiveScorer(model), people()) <= 1e-5


def test_half_precision_is_as_close_as_it_can_be():
    exact, half = toy_model(), toy_model()
    half.model.to(torch.bfloat16)
    contexts = people()
    assert gap(PackedScorer(half), NaiveScorer(exact), contexts) < 2 * gap(
        NaiveScorer(half), NaiveScorer(exact), contexts
    )


def test_in_double_precision_nothing_but_the_last_rounding_is_left():
    model = toy_model()
    model.model.to(torch.float64)
    contexts = people()
    spread = np.ptp(NaiveScorer(model).score(contexts)[3].values)
    assert gap(PackedScorer(model), NaiveScorer(model), contexts) <= 4 * np.finfo(np.float32).eps * max(spread, 1)


@pytest.mark.parametrize("kind", ["all", "causal", "masked"])
def test_parts_of_attention_join_to_the_whole_on_every_device(kind):
    """The fused form and the one in matrix products give the same mixture and the same sum, and halves join."""
    torch.manual_seed(0)
    rows = 1 if kind == "all" else 3
    query, key, value = (torch.randn(rows, heads, 7, 8, dtype=torch.float64) for heads in (4, 2, 2))
    hidden = torch.rand(3, 7, 7) > 0.5 if kind == "masked" else None
    if hidden is not None:
        hidden[..., 0] = False
    mask = None if hidden is None else torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)[:, None].double()
    fused = partial_attention(query, key, value, scaling=0.3, hidden=hidden)
    plain = _plain(query, key, value, mask, scaling=0.3, causal=kind == "causal")
    assert torch.allclose(fused[0], plain[0], atol=1e-6)
    assert torch.allclose(fused[1].double(), plain[1].double(), atol=1e-6)
    if kind == "all":
        first, second = (partial_attention(query, key[:, :, a], value[:, :, a], scaling=0.3) for a in HALVES)
        share = torch.sigmoid(second[1] - first[1])[..., None]
        assert torch.allclose(torch.lerp(first[0], second[0], share.double()), fused[0], atol=1e-6)


HALVES = (slice(0, 3), slice(3, 7))


def test_the_order_of_the_candidates_does_not_reach_the_scores():
    scorer = PackedScorer(toy_model())
    person = people()[2]
    values = scorer.score([person])[0].values
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(values))
        turned = replace(person, candidates=tuple(person.candidates[i] for i in order))
        assert np.array_equal(scorer.score([turned])[0].values, values[order])


def test_candidates_do_not_see_each_other():
    scorer = PackedScorer(toy_model())
    person = context(7, candidates=10)
    values = scorer.score([person])[0].values
    kept = replace(person, candidates=(person.candidates[0], *context(8, candidates=4).candidates))
    assert abs(scorer.score([kept])[0].values[0] - values[0]) <= 1e-5


@pytest.mark.parametrize("budget", [1, 700, 1_000_000])
def test_the_token_budget_changes_the_passes_not_the_scores(budget):
    model = toy_model()
    assert gap(PackedScorer(model, token_budget=budget), PackedScorer(model, token_budget=2_000), people()) <= 1e-5


def test_positions_that_do_not_restart_are_found_out():
    """The comparison with the oracle can fail: numbering the packed sequence through gives other scores."""
    model = toy_model()
    scorer = PackedScorer(model)
    asked = canonicalise(questions(model, context(3)))
    packed = pack([asked], model.device)
    through = replace(packed, positions=torch.arange(packed.ids.shape[1])[None])
    right, wrong = (judge_packed(model, one, answers(model)) for one in (packed, through))
    assert np.abs(right - wrong).max() > 1e-2
    assert sorted(right) == pytest.approx(sorted(scorer.score([context(3)])[0].values), abs=1e-6)


def test_other_uses_of_the_model_are_not_changed():
    before, after = toy_model(), toy_model()
    PackedScorer(after)
    ids = torch.tensor([[5, 300, 17, 22, 41, 9], [0, 0, 80, 81, 82, 83]])
    mask = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    logits = [one.model(ids, attention_mask=mask).logits for one in (before, after)]
    assert torch.equal(logits[0][0], logits[1][0])
    assert torch.equal(logits[0][1, 2:], logits[1][1, 2:])
    texts = [one.model.generate(ids[:1], max_new_tokens=8, do_sample=False) for one in (before, after)]
    assert torch.equal(*texts)


def test_an_attached_adapter_is_scored_too():
    model = toy_model()
    contexts = people()
    base = PackedScorer(model).score(contexts)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    adapted = replace(model, model=get_peft_model(model.model, config).eval())
    assert gap(PackedScorer(adapted), NaiveScorer(adapted), contexts) <= 1e-5
    moved = [
        np.abs(a.values - b.values).max() for a, b in zip(base, PackedScorer(adapted).score(contexts), strict=True)
    ]
    assert max(moved) > 1e-2


def test_sliding_windows_are_refused():
    model = toy_model(use_sliding_window=True, sliding_window=64, max_window_layers=1)
    with pytest.raises(LetheError, match="sliding-window"):
        PackedScorer(model)


def test_canonical_questions_share_what_all_begin_with():
    asked = canonicalise(Questions((1, 2), ((7, 8, 9), (7, 8, 3, 4), (7, 8, 9))))
    assert asked == Questions((1, 2, 7, 8), ((3, 4), (9,)))
    assert canonicalise(Questions((1,), ((5, 6), (5, 6)))) == Questions((1, 5), ((6,),))


def test_the_layout_of_a_hand_worked_case():
    packed = pack([Questions((10, 11), ((20,), (21, 22, 23))), Questions((30,), ((40, 41),))], torch.device("cpu"))
    assert packed.ids.tolist() == [[10, 11, 20, 21, 22, 23, 30, 40, 41]]
    assert packed.positions.tolist() == [[0, 1, 2, 2, 3, 4, 0, 1, 2]]
    assert packed.last.tolist() == [2, 5, 8]
    first, second = packed.blocks
    assert (first.start, first.split, first.stop, second.start, second.split, second.stop) == (0, 2, 6, 6, 7, 9)
    assert first.every.places.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert first.every.real.tolist() == [0, 3, 4, 5]
    assert first.ends.places.tolist() == [[0], [3]]
    assert first.ends.hidden.tolist() == [[[False, True, True]], [[False, False, False]]]
