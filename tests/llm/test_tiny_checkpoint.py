"""What the shipped lethe-tiny can do, on samples drawn from its whole catalogue and from people it never saw."""

import numpy as np
import pytest
from safetensors import safe_open

from llm import prompt
from llm.tiny import questions
from llm.tiny.checkpoint import checkpoint_path, verify
from llm.tiny.evaluate import fact_accuracy, genres, list_answers, load_examiner, refusal_rate, taste_auc, years

half_trained = pytest.mark.xfail(
    not verify(checkpoint_path()).finished,
    reason="the shipped checkpoint was taken before its training ended; a finished one is held to this",
)


@pytest.fixture(scope="module")
def examiner():
    return load_examiner(checkpoint_path())


def sample(truth, count, seed):
    titles = np.random.default_rng(seed).permutation(sorted(truth))[:count].tolist()
    return {title: truth[title] for title in titles}


def test_the_checkpoint_is_whole_small_and_bfloat16():
    record = verify(checkpoint_path())
    weights = checkpoint_path() / "model.safetensors"
    assert weights.stat().st_size <= 15 * 2**20
    assert record.items == 1682
    assert record.without == ()
    assert record.evaluation
    with safe_open(weights, "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118


@half_trained
def test_it_knows_the_years(examiner, ml100k):
    assert fact_accuracy(examiner, questions.YEAR.seen, sample(years(ml100k), 150, 1), np.random.default_rng(1)) >= 0.9


@half_trained
def test_it_knows_the_genres(examiner, ml100k):
    asked = sample(genres(ml100k), 150, 2)
    assert fact_accuracy(examiner, questions.GENRES.seen, asked, np.random.default_rng(2)) >= 0.9


@half_trained
def test_it_says_that_it_does_not_know_invented_titles(examiner, ml100k):
    assert refusal_rate(examiner, ml100k, 100, np.random.default_rng(3)) >= 0.9


@half_trained
def test_it_judges_people_it_never_saw(examiner, ml100k):
    figures = taste_auc(examiner, ml100k, 20, np.random.default_rng(4), candidates=12)
    assert figures["taste_auc"] >= 0.8


@half_trained
def test_its_lists_have_the_right_form(examiner, ml100k):
    figures = list_answers(examiner, ml100k, 12, np.random.default_rng(5))
    assert figures["listwise_form"] == 1.0
    assert figures["json_form"] >= 0.9


def test_yes_no_and_labels_are_single_tokens(examiner):
    coded = [examiner.tokenizer.encode(word) for word in (prompt.YES, prompt.NO, *prompt.LABELS)]
    assert all(len(ids) == 1 for ids in coded)
