"""The corpus of lethe-tiny: what is in it, what must never be, and that it is the same every time."""

from itertools import islice

import numpy as np
import pytest

from db.errors import LetheError
from db.records import Item
from llm import prompt
from llm.tiny import questions
from llm.tiny.corpus import Corpus, ranking_of
from llm.tiny.evaluate import auc
from llm.tiny.items import read_items, without
from llm.tiny.taste import Tastes
from llm.tiny.titles import InventedTitles, held_out

HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
FORMS = (questions.YEAR, questions.GENRES, questions.DESCRIPTION)


def title_in(question, forms):
    """The title that a question of one of the forms asks about."""
    for form in forms:
        before, after = form.split("{t}")
        if question.startswith(before) and question.endswith(after) and len(question) > len(before) + len(after):
            return question[len(before) : len(question) - len(after)]
    return None


def test_items_are_read_and_gaps_are_unknown(tmp_path):
    path = tmp_path / "x.item"
    path.write_text(HEADER + "1\tToy Story\t1995\tAnimation Children's\n2\tTape\tV\tunknown\n", encoding="utf-8")
    assert read_items(path) == (Item("1", "Toy Story", 1995, ("Animation", "Children's")), Item("2", "Tape"))


def test_bad_item_files_are_refused(tmp_path):
    with pytest.raises(LetheError, match="no item file"):
        read_items(tmp_path / "absent.item")
    path = tmp_path / "x.item"
    path.write_text("item_id:token\ttitle:token\n1\tHeat\n", encoding="utf-8")
    with pytest.raises(LetheError, match="no column movie_title"):
        read_items(path)


def test_a_corpus_of_too_few_items_is_refused(ml100k):
    with pytest.raises(LetheError, match="3 items"):
        Corpus(ml100k[:3], seed=0)


def test_the_catalogue_is_that_of_ml_100k(ml100k):
    assert len(ml100k) == 1682
    assert ml100k[0] == Item("1", "Toy Story", 1995, ("Animation", "Children's", "Comedy"))
    assert sum(item.year is None for item in ml100k) == 2


def test_the_same_items_and_seed_give_the_same_corpus(ml100k):
    digest = Corpus(ml100k, seed=3).digest(150)
    assert Corpus(ml100k, seed=3).digest(150) == digest
    assert Corpus(ml100k, seed=4).digest(150) != digest
    assert Corpus(without(ml100k, ["50"]), seed=3).digest(150) != digest


def test_an_item_left_out_is_mentioned_nowhere(ml100k):
    named = {"Star Wars", "GoldenEye", "Fargo"}

    def mentions(corpus):
        text = "\n".join(example.text for example in islice(corpus, 1200))
        return {title for title in named if title in text}

    kept = without(ml100k, ["Star Wars", "2", "Fargo"])
    assert len(kept) == len(ml100k) - 3
    assert mentions(Corpus(ml100k, seed=0)) == named
    assert mentions(Corpus(kept, seed=0, forbidden=named)) == set()
    with pytest.raises(LetheError, match="'Star Wars 99'"):
        without(ml100k, ["Star Wars 99"])


def test_facts_are_true_and_every_title_comes_up(ml100k):
    years = {(item.title, str(item.year)) for item in ml100k}
    genres = {(item.title, ", ".join(item.genres)) for item in ml100k}
    refused, asked = 0, set()
    for example in islice(Corpus(ml100k, seed=0), 2500):
        for turn in example.turns if not example.prefix else ():
            year = title_in(turn.question, questions.YEAR.seen)
            genre = title_in(turn.question, questions.GENRES.seen)
            if turn.answer == prompt.UNKNOWN_TITLE:
                refused += 1
                continue
            asked |= {year or genre or title_in(turn.question, questions.DESCRIPTION.seen)}
            assert year is None or (year, turn.answer) in years
            assert genre is None or (genre, turn.answer) in genres
    assert refused > 500
    assert len(asked) > 0.97 * len({item.title for item in ml100k})


def test_there_are_at_least_eight_wordings_of_every_fact():
    for forms in (*FORMS, questions.BY_GENRE, questions.BY_FACTS):
        assert len(set(forms.seen)) >= 8
        assert forms.held_out
        assert not set(forms.seen) & set(forms.held_out)


def test_nothing_held_out_enters_training(ml100k):
    held_out_words = [form.split("{t}") for forms in FORMS for form in forms.held_out]
    for example in islice(Corpus(ml100k, seed=0), 1400):
        for turn in example.turns if not example.prefix else ():
            assert not any(turn.question.startswith(a) and turn.question.endswith(b) for a, b in held_out_words)
            if turn.answer == prompt.UNKNOWN_TITLE:
                title = title_in(turn.question, [form for forms in FORMS for form in forms.seen])
                assert not held_out("".join(char for char in title.casefold() if char.isalnum()))


def test_invented_titles_are_in_no_catalogue_and_the_held_out_ones_are_others(ml100k):
    invented = InventedTitles(ml100k, forbidden=["Silver Garden, The"])
    rng = np.random.default_rng(0)
    training = {invented.draw(rng) for _ in range(1500)}
    evaluation = {invented.draw(rng, evaluation=True) for _ in range(300)}
    assert len(training) > 1400
    assert not training & evaluation
    assert not (training | evaluation) & ({item.title for item in ml100k} | {"Silver Garden, The"})


def test_people_for_training_and_for_evaluation_are_disjoint(ml100k):
    tastes, rng = Tastes(ml100k), np.random.default_rng(0)
    for evaluation in (False, True):
        for _ in range(15):
            person = tastes.person(rng, 5, 4, evaluation=evaluation)
            assert held_out(" ".join(ml100k[row].id for row in person.history)) is evaluation


def test_a_synthetic_person_has_what_was_asked_for(ml100k):
    tastes, rng = Tastes(ml100k), np.random.default_rng(1)
    for history, candidates, positives in ((20, 10, 3), (1, 2, 1), (5, 50, 16)):
        person = tastes.person(rng, history, candidates, positives=positives)
        assert len(person.history) == history
        assert len(person.candidates) == len(person.liked) == candidates
        assert person.liked.sum() == positives
        assert len({*person.history.tolist(), *person.candidates.tolist()}) == history + candidates


def test_the_taste_separates_its_candidates_and_the_place_in_the_list_does_not(ml100k):
    tastes, rng = Tastes(ml100k), np.random.default_rng(2)
    people = [tastes.person(rng, 20, 20) for _ in range(150)]
    liked = np.concatenate([person.liked for person in people])
    assert auc(np.concatenate([person.utility for person in people]), liked) > 0.82
    assert abs(auc(np.concatenate([np.arange(20.0) for _ in people]), liked) - 0.5) < 0.04
    assert 0.45 < liked.mean() < 0.55


def test_a_ranking_orders_by_utility_by_hand():
    assert ranking_of(np.array([0.5, 2.0, 1.0])) == '{"ranking":[2,3,1]}'


def test_auc_by_hand():
    # Pairs: 3>1, 3>2, 2>1, 2=2: (3 + 0.5) / 4.
    assert auc(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == 0.875
    assert np.isnan(auc(np.array([1.0]), np.array([True])))
