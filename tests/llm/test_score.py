"""One conformance suite for every scorer, and the tests of single scorers beside it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from db.errors import LetheError
from llm.prompt import LABELS
from llm.score.base import Scores
from llm.score.generate import GenerateScorer, grammar, parse
from llm.score.listwise import ListwiseScorer
from llm.score.naive import NaiveScorer
from llm.score.packed import PackedScorer
from tests.llm.toys import context, toy_model

SCORERS = {kind.name: kind for kind in (NaiveScorer, PackedScorer, ListwiseScorer, GenerateScorer)}


@pytest.fixture(scope="module", params=SCORERS)
def kind(request):
    return SCORERS[request.param]


@pytest.fixture(scope="module")
def scorer(kind):
    return kind(toy_model())


@pytest.fixture(scope="module")
def qwen_model(qwen_tokenizer):
    return toy_model(tokenizer=qwen_tokenizer, vocab_size=151_936)


# Conformance


def test_a_score_for_each_candidate(scorer):
    contexts = [context(seed, candidates=count) for seed, count in enumerate((7, 1, 0, 12))]
    scores = scorer.score(contexts)
    assert [len(one.values) for one in scores] == [7, 1, 0, 12]
    assert all(one.usable and not one.detail and one.values.dtype == np.float32 for one in scores)
    assert len(set(scores[3].values.tolist())) > 1, "the candidates are told apart"


def test_no_contexts_no_scores(scorer):
    assert scorer.score([]) == []


def test_the_same_question_gets_the_same_answer(scorer):
    contexts = [context(seed) for seed in range(3)]
    for first, second in zip(scorer.score(contexts), scorer.score(contexts), strict=True):
        assert np.array_equal(first.values, second.values)


def test_one_person_does_not_reach_another(scorer):
    contexts = [context(seed, candidates=4 + seed, history=seed) for seed in range(4)]
    together = scorer.score(contexts)
    for one, among in zip(contexts, together, strict=True):
        np.testing.assert_allclose(scorer.score([one])[0].values, among.values, atol=1e-5, rtol=0)


def test_a_new_person_and_an_unknown_item_are_ordinary(scorer):
    person = context(1, history=0)
    bare = tuple(replace(item, title="", year=None, genres=()) for item in person.candidates)
    assert scorer.score([replace(person, candidates=bare)])[0].usable


def test_a_prompt_that_does_not_fit_is_marked_and_the_others_stand(kind):
    scorer = kind(toy_model(max_position_embeddings=1_500))
    fits, too_long = context(1, history=2), context(2, history=120)
    before, marked = scorer.score([fits, too_long])
    assert before.usable
    assert not marked.usable
    assert "exceeds the model's 1500" in marked.detail
    assert marked.values.tolist() == [0.0] * 9


def test_a_broken_model_is_marked_not_ranked(kind):
    broken = toy_model()
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(torch.nan)
    for scores in kind(broken).score([context(1), context(2)]):
        assert not scores.usable
        assert scores.detail


def test_the_real_vocabulary_serves_every_scorer(kind, qwen_model):
    scores = kind(qwen_model).score([context(1, candidates=12)])[0]
    assert scores.usable
    assert len(set(scores.values.tolist())) > 8


def test_a_list_of_scores_checks_itself():
    with pytest.raises(ValueError, match="not finite"):
        Scores(np.array([np.nan], np.float32))
    with pytest.raises(ValueError, match="must say why"):
        Scores(np.zeros(2, np.float32), usable=False)
    with pytest.raises(ValueError, match="2 axes"):
        Scores(np.zeros((2, 2), np.float32))
    assert not Scores.checked(np.array([np.inf, 0], np.float32)).usable


# Listwise


def test_listwise_reads_the_logit_of_each_label(qwen_model):
    person = context(3, candidates=52)
    scorer = ListwiseScorer(qwen_model)
    from llm.prompt import listwise

    ids = torch.tensor([qwen_model.prompt(listwise(person))])
    with torch.inference_mode():
        logits = qwen_model.model(ids).logits[0, -1]
    vocabulary = qwen_model.tokenizer.get_vocab()
    expected = [float(logits[vocabulary[label]]) for label in LABELS]
    np.testing.assert_allclose(scorer.score([person])[0].values, expected, atol=1e-5)


def test_more_candidates_than_labels_are_dealt_out_and_standardised():
    scorer = ListwiseScorer(toy_model())
    person = context(4, candidates=130)
    values = scorer.score([person])[0].values
    for turn in range(3):
        part = values[turn::3]
        assert abs(part.mean()) < 1e-5
        assert abs(part.std() - 1) < 1e-5
        alone = scorer.score([replace(person, candidates=person.candidates[turn::3])])[0].values
        assert np.array_equal(np.argsort(alone), np.argsort(part))


# Generate


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_model_the_answer_is_a_permutation(seed):
    scorer = GenerateScorer(toy_model(seed=seed, max_position_embeddings=16_384))
    for count in (1, 13, 101 if seed == 0 else 2):
        values = scorer.score([context(seed, candidates=count)])[0].values
        assert sorted(-values) == list(range(1, count + 1))


def test_generation_follows_the_model():
    """The first number written is the likeliest first character among the digits the grammar admits."""
    model = toy_model()
    person = context(5, candidates=9)
    from llm.prompt import generate
    from llm.score.generate import OPENING

    ids = model.prompt(generate(person)) + model.encode([OPENING])[0]
    with torch.inference_mode():
        logits = model.model(torch.tensor([ids])).logits[0, -1]
    likeliest = max(range(9), key=lambda i: float(logits[model.token(str(i + 1))]))
    assert int(GenerateScorer(model).score([person])[0].values.argmax()) == likeliest


NO_PERMUTATIONS = (
    '{"ranking":[1,2]}',
    '{"ranking":[1,2,2]}',
    '{"ranking":[1,2,4]}',
    '{"ranking":[1,2,3,1]}',
    '{"ranking":[1,2,"3"]}',
    '{"ranking":"123"}',
    '{"ranking":null}',
    '{"ranking":[1,2,3',
    '{"order":[1,2,3]}',
    "[3,1,2]",
    "3,1,2",
)


@pytest.mark.parametrize("answer", NO_PERMUTATIONS)
def test_an_answer_that_is_no_permutation_is_unusable(answer):
    scores = parse(answer, 3)
    assert not scores.usable
    assert answer[:20] in scores.detail


def test_the_scores_of_an_answer_follow_its_order():
    assert parse('{"ranking":[3,1,2]}', 3).values.tolist() == [-2.0, -3.0, -1.0]


def test_the_grammar_of_the_last_number_closes_the_json():
    assert grammar([2, 10]) == 'start: ("2" | "10") ","'
    assert grammar([7]) == 'start: ("7") "]}"'


# Refusals


def test_a_vocabulary_that_splits_the_answers_is_refused():
    model = toy_model()
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(pre_tokenizers.ByteLevel.alphabet())}, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    with pytest.raises(LetheError, match="'yes' is 3 tokens"):
        PackedScorer(replace(model, plain=letters))
