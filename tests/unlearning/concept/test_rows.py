import pytest
import torch

from db.errors import LetheError
from tests.llm.toys import toy_model
from tests.unlearning.concept.world import probes, toy_lesson
from unlearning.concept.base import Use
from unlearning.concept.losses import log_softmax
from unlearning.concept.recall import recall
from unlearning.concept.rows import Turn, answer_states, batches, encode_rows, logits_of, one_batch, row_sums
from unlearning.concept.study import base_log_probs


def plain_log_prob(model, row):
    """One row by itself, in one ordinary pass."""
    ids = torch.tensor([row.shared + row.asked + row.answer])
    with torch.inference_mode():
        spread = model.model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
    start = len(row.shared) + len(row.asked)
    return sum(float(spread[start + n - 1, token]) for n, token in enumerate(row.answer))


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
@pytest.mark.parametrize("tokens", [200, 4096])
def test_branches_are_read_as_one_prompt_a_pass(family, tokens):
    model = toy_model(family)
    asked = toy_lesson().judged[0]
    turns = [Turn(p.question, p.answers[0]) for p in probes().probes[:30:3]]
    turns += [Turn(suffix, "yes", shared=asked.prefix) for suffix in asked.suffixes]
    turns.append(Turn("When?", "1999", begun="It was "))
    rows = encode_rows(model, turns)
    found = base_log_probs(model, rows, tokens=tokens)
    assert found.tolist() == pytest.approx([plain_log_prob(model, row) for row in rows], abs=2e-4)


def test_a_single_pass_fills_its_sequences_to_the_widest_and_reads_every_row_as_by_itself():
    model, long = toy_model(), "A person liked\n" + "- a film\n" * 60
    turns = [Turn(f"Question {n}?", "yes") for n in range(60)]
    rows = encode_rows(model, [*turns, *(Turn(f"Candidate {n}", "no", shared=long) for n in range(3))])
    batch = one_batch(rows, model.device)
    narrow = max(len(one.ids[0]) for one in batches(rows[:60], model.device, tokens=1))
    sequences, width = batch.ids.shape
    assert width > narrow
    taken = sum(row.own for row in rows[:60])
    assert sequences - 1 <= taken / (width - len(rows[0].shared) - max(row.own for row in rows[:60])) + 1
    with torch.inference_mode():
        spread = log_softmax(logits_of(model, answer_states(model, batch)))
    sums = row_sums(spread.gather(1, batch.targets[:, None])[:, 0], batch).tolist()
    found = dict(zip(batch.rows, sums, strict=True))
    for number in (0, 31, 59, 60, 62):
        assert found[number] == pytest.approx(plain_log_prob(model, rows[number]), abs=2e-4)


def test_every_row_comes_once_and_its_answer_is_what_is_scored():
    model = toy_model()
    rows = encode_rows(model, [Turn(f"Question {n}?", "x" * n) for n in range(1, 40)])
    seen = []
    for batch in batches(rows, model.device, tokens=500):
        seen += batch.rows
        sizes = row_sums(torch.ones_like(batch.targets, dtype=torch.float), batch)
        assert sizes.tolist() == [len(rows[number].answer) for number in batch.rows]
        for place, number in enumerate(batch.rows):
            assert tuple(batch.targets[batch.target_owner == place].tolist()) == rows[number].answer
    assert sorted(seen) == list(range(len(rows)))


def test_one_pass_may_hold_every_row():
    model = toy_model()
    rows = encode_rows(model, [Turn(f"Question {n}?", str(n)) for n in range(50)])
    batch = one_batch(rows, model.device)
    assert sorted(batch.rows) == list(range(50))
    assert len(answer_states(model, batch)) == sum(len(row.answer) for row in rows)


def test_no_title_can_close_the_turn():
    model = toy_model()
    row = encode_rows(model, [Turn("a<|im_end|>b", "yes<|im_end|>")])[0]
    end = model.frame("<|im_end|>")[0]
    assert (row.asked + row.answer).count(end) == 2


def test_a_turn_that_does_not_fit_is_refused():
    model = toy_model(max_position_embeddings=64)
    with pytest.raises(LetheError, match="tokens: random"):
        encode_rows(model, [Turn("word " * 80, "no")])


def test_exact_means_what_greedy_decoding_says():
    model = toy_model(seed=3)
    asked = probes().of(use=Use.SELECT).probes[:8]
    said = []
    for probe in asked:
        ids = torch.tensor([model.prompt(probe.question)])
        out = model.model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
        said.append(out[0, ids.shape[1] :].tolist())
    rows = encode_rows(model, [Turn(probe.question, probe.answers[0]) for probe in asked])
    for row, tokens in zip(rows, said, strict=True):
        spoken = type(row)(row.shared, row.asked, tuple(tokens))
        batch = one_batch([spoken], model.device)
        with torch.inference_mode():
            assert logits_of(model, answer_states(model, batch)).argmax(-1).tolist() == tokens
    found = recall(model, asked)
    assert not found.exact.any()
    assert found.log_prob.tolist() == pytest.approx([plain_log_prob(model, row) for row in rows], abs=2e-4)


def test_recall_takes_the_likeliest_accepted_answer():
    model = toy_model()
    first, second = probes().probes[:2]
    both = type(first)(first.question, ("1901", first.answers[0]), first.kind, first.use)
    alone = [
        recall(model, [type(first)(first.question, (a,), first.kind, first.use)]).log_prob[0] for a in both.answers
    ]
    found = recall(model, [both, second])
    assert found.log_prob[0] == pytest.approx(max(alone), abs=1e-4)
    assert len(found.exact) == len(found.lengths) == 2
    assert recall(model, []).exact.size == 0


def test_log_probabilities_are_float32_whatever_the_model_is_in():
    spread = log_softmax(torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16))
    assert spread.dtype == torch.float32
    assert spread.exp().sum() == pytest.approx(1)
