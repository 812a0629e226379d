"""What the shipped lethe-tiny can do, on samples drawn from its whole catalogue and from people it never saw.

It was trained before the grammar of wordings, on the first ten of each fact and three sorts of invented titles, and
its record speaks of those alone.
"""

import numpy as np
import pytest
from safetensors import safe_open

from llm import prompt
from llm.tiny import questions
from llm.tiny.checkpoint import checkpoint_path, verify
from llm.tiny.evaluate import load_examiner
from llm.tiny.judging import list_answers, taste_auc
from llm.tiny.knowledge import fact_accuracy, genres, years
from llm.tiny.titles import InventedTitles, Sort

RECORD = verify(checkpoint_path())
YEAR, GENRES, DESCRIPTION = (
    forms.seen[:count] for forms, count in ((questions.YEAR, 10), (questions.GENRES, 10), (questions.DESCRIPTION, 8))
)
SORTS = (Sort.SPLICED, Sort.PHRASE, Sort.LOOSE)
REQUIRED = {
    "year_seen_forms": 0.9,
    "genres_seen_forms": 0.9,
    "invented_refused": 0.9,
    "taste_auc": 0.8,
    "listwise_form": 0.95,
    "json_form": 0.9,
}


def ability(name):
    """Holds a test to what is required; where the record itself says less, the test is expected to fail."""
    recorded = RECORD.evaluation[name]
    reason = f"{name} of the shipped checkpoint is {recorded}, required is {REQUIRED[name]} (docs/experiments.md)"
    return pytest.mark.xfail(recorded < REQUIRED[name], reason=reason)


@pytest.fixture(scope="module")
def examiner():
    return load_examiner(checkpoint_path())


@pytest.fixture(scope="module")
def lists(examiner, ml100k):
    return list_answers(examiner, ml100k, 12, np.random.default_rng(5))


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


@ability("year_seen_forms")
def test_it_knows_the_years(examiner, ml100k):
    assert fact_accuracy(examiner, YEAR, sample(years(ml100k), 150, 1), np.random.default_rng(1)) >= 0.9


@ability("genres_seen_forms")
def test_it_knows_the_genres(examiner, ml100k):
    asked = sample(genres(ml100k), 150, 2)
    assert fact_accuracy(examiner, GENRES, asked, np.random.default_rng(2)) >= 0.9


@ability("invented_refused")
def test_it_says_that_it_does_not_know_invented_titles(examiner, ml100k):
    rng, invented = np.random.default_rng(3), InventedTitles(ml100k)
    titles = [invented.draw(rng, sort=SORTS[number % 3], evaluation=True) for number in range(100)]
    forms = (*YEAR, *GENRES, *DESCRIPTION)
    said = examiner.answers([forms[int(rng.integers(len(forms)))].format(t=title) for title in titles])
    assert np.mean([answer == prompt.UNKNOWN_TITLE for answer in said]) >= 0.9


@ability("taste_auc")
def test_it_judges_people_it_never_saw(examiner, ml100k):
    figures = taste_auc(examiner, ml100k, 20, np.random.default_rng(4), candidates=12)
    assert figures["taste_auc"] >= 0.8


@ability("listwise_form")
def test_it_answers_lists_with_a_label(examiner, ml100k, lists):
    assert lists["listwise_form"] >= 0.9


@ability("json_form")
def test_it_answers_with_the_json_that_was_asked_for(examiner, ml100k, lists):
    assert lists["json_form"] >= 0.9


def test_the_record_tells_the_truth(examiner, ml100k):
    """What `python -m llm.tiny.evaluate` wrote into the record is what a sample shows, within the sample's error."""
    rng = np.random.default_rng(6)
    known = fact_accuracy(examiner, YEAR, sample(years(ml100k), 100, 6), rng)
    judged = taste_auc(examiner, ml100k, 12, rng, candidates=12)["taste_auc"]
    assert known == pytest.approx(RECORD.evaluation["year_seen_forms"], abs=0.15)
    assert judged == pytest.approx(RECORD.evaluation["taste_auc"], abs=0.12)


def test_yes_no_and_labels_are_single_tokens(examiner):
    coded = [examiner.tokenizer.encode(word) for word in (prompt.YES, prompt.NO, *prompt.LABELS)]
    assert all(len(ids) == 1 for ids in coded)
