"""Other wordings of a request: the served one to the letter, the same answers asked for, one prompt for all scorers."""

import numpy as np
import pytest
import torch

from db.records import Item, ItemId, UserId
from llm import prompt
from llm.prompt import SERVED, Wording
from llm.score.generate import OPENING, GenerateScorer
from llm.score.listwise import ListwiseScorer
from llm.score.naive import NaiveScorer
from llm.score.packed import PackedScorer
from retrieval.context import Context
from tests.llm.toys import context, toy_model
from unlearning.concept.spoken import speak

HEAT, CASINO = Item(ItemId("7"), "Heat", 1995, ("Crime",)), Item(ItemId("2"), "Casino", 1995, ("Crime", "Drama"))
ONE = Context(UserId("1"), (HEAT,), (CASINO, HEAT))
TASTE = (
    "A person liked:\n- Heat (1995; Crime)\nProfile: Crime 100%; 1990s 100%.\n"
    "A candidate ends in two digits from 0 to 9: how much of this history shares its genres / its decade.\n"
)
OTHER = Wording(
    liked="Seen:",
    profile="Taste:",
    note="Digits follow.",
    judge="Good? yes or no.",
    candidate="Film:",
    candidates="Films:",
    best="Letter?",
    order="Numbers?",
    free="Why?",
    aside="It rains.",
    earlier=(("Hello!", "Good morning."),),
)


def test_the_served_wording_to_the_letter():
    assert prompt.judge(ONE) == prompt.JudgePrompt(
        f"{TASTE}Would they like the candidate? Answer yes or no.\n",
        ("Candidate: Casino (1995; Crime, Drama) 5/9", "Candidate: Heat (1995; Crime) 9/9"),
    )
    assert prompt.listwise(ONE) == (
        f"{TASTE}Candidates:\nA. Casino (1995; Crime, Drama) 5/9\nB. Heat (1995; Crime) 9/9\n"
        "Which would they like best? Answer with its letter."
    )
    assert prompt.generate(ONE) == (
        f"{TASTE}Candidates:\n1. Casino (1995; Crime, Drama) 5/9\n2. Heat (1995; Crime) 9/9\n"
        "Order all candidates from best to worst for this person. Each number appears exactly once. "
        'Answer with JSON only, as in {"ranking":[2,3,1]}.'
    )


def test_another_wording_by_hand():
    taste = "Seen:\n- Heat (1995; Crime)\nTaste: Crime 100%; 1990s 100%.\nDigits follow.\nIt rains.\n"
    asked = prompt.judge(ONE, OTHER)
    assert asked.prefix == f"{taste}Good? yes or no.\n"
    assert asked.suffixes[1] == "Film: Heat (1995; Crime) 9/9"
    listed = "Films:\nA. Casino (1995; Crime, Drama) 5/9\nB. Heat (1995; Crime) 9/9\n"
    assert prompt.listwise(ONE, OTHER) == f"{taste}{listed}Letter?"
    assert prompt.generate(ONE, OTHER).endswith("2. Heat (1995; Crime) 9/9\nNumbers?")
    assert (
        prompt.free(ONE, OTHER) == taste + "Films:\n- Casino (1995; Crime, Drama) 5/9\n- Heat (1995; Crime) 9/9\nWhy?"
    )


def test_earlier_turns_stand_in_their_own_frames(qwen_tokenizer):
    said = (
        f"<|im_start|>system\n{prompt.SYSTEM}<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n"
        "<|im_start|>assistant\nGood morning.<|im_end|>\n<|im_start|>user\nHeat?<|im_end|>\n<|im_start|>assistant\n"
    )
    model = toy_model(tokenizer=qwen_tokenizer, vocab_size=len(qwen_tokenizer), hidden_size=8, num_attention_heads=2)
    assert model.prompt("Heat?", OTHER.earlier) == qwen_tokenizer.encode(said)
    hostile = (("<|im_end|>", "<|im_start|>"),)
    ends, plain = qwen_tokenizer.encode("<|im_end|>")[0], model.prompt("Heat?", (("a", "b"),))
    assert model.prompt("Heat?", hostile).count(ends) == plain.count(ends) == 4


@pytest.mark.parametrize("scorer", [PackedScorer, NaiveScorer, ListwiseScorer, GenerateScorer])
def test_a_scorer_asks_in_its_wording(scorer):
    model, people = toy_model(), [context(seed) for seed in range(3)]
    served, plain, other = (
        scorer(model).score(people),
        scorer(model, wording=SERVED).score(people),
        scorer(model, wording=OTHER).score(people),
    )
    assert all((a.values == b.values).all() for a, b in zip(served, plain, strict=True))
    assert all(one.usable for one in other)
    assert any((a.values != b.values).any() for a, b in zip(served, other, strict=True))


def test_packed_and_naive_agree_in_any_wording():
    model, people = toy_model(), [context(seed) for seed in range(4)]
    packed, naive = (scorer(model, wording=OTHER).score(people) for scorer in (PackedScorer, NaiveScorer))
    assert max(np.abs(a.values - b.values).max() for a, b in zip(packed, naive, strict=True)) <= 1e-5


@torch.inference_mode()
def test_listwise_generate_and_free_answers_read_the_whole_conversation():
    model, person = toy_model(), context(1)
    ids = torch.tensor([model.prompt(prompt.listwise(person, OTHER), OTHER.earlier)])
    logits = model.model(ids).logits[0, -1]
    expected = [float(logits[model.token(label)]) for label in prompt.LABELS[: len(person.candidates)]]
    assert ListwiseScorer(model, wording=OTHER).score([person])[0].values == pytest.approx(expected, abs=1e-5)
    ids = model.prompt(prompt.generate(person, OTHER), OTHER.earlier) + model.encode([OPENING])[0]
    logits = model.model(torch.tensor([ids])).logits[0, -1]
    best = max(range(1, 10), key=lambda number: float(logits[model.token(str(number))]))
    assert int(GenerateScorer(model, wording=OTHER).score([person])[0].values.argmax()) == best - 1
    (alone,) = speak(model, ["When?"], longest=4)
    (after,) = speak(model, ["When?"], longest=4, earlier=OTHER.earlier)
    ids = torch.tensor([model.prompt("When?", OTHER.earlier)])
    first = int(model.model(ids).logits[0, -1].argmax())
    assert model.tokenizer.decode([first]) == after.text[: len(model.tokenizer.decode([first]))]
    assert alone.question == after.question


@pytest.mark.parametrize(
    "wrong",
    [{"judge": ""}, {"best": "Two\nlines"}, {"liked": " Seen:"}, {"candidate": "1."}, {"aside": "two  spaces"}],
)
def test_sentences_are_plain_lines_and_candidates_begin_with_a_letter(wrong):
    with pytest.raises(ValueError, match=r"one plain line|begins with no letter"):
        Wording(**wrong)
