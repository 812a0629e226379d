"""The corpus of lethe-tiny: what is in it, what must never be, and that it is the same every time."""

import re
from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest

from db.errors import LetheError
from db.records import Item
from llm import prompt
from llm.tiny import questions, wording
from llm.tiny.concepts import EVALUATED, items_named
from llm.tiny.corpus import Corpus, Read, ranking_of
from llm.tiny.facts import INVENTED
from llm.tiny.items import read_items
from llm.tiny.judging import auc
from llm.tiny.taste import Tastes
from llm.tiny.titles import InventedTitles, Sort, held_out

HEADER = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
ABOUT = {"year": questions.YEAR, "genres": questions.GENRES, "both": questions.BOTH, "told": questions.DESCRIPTION}
ALL = (*ABOUT.values(), questions.BY_GENRE, questions.BY_FACTS)
LESSONS = 160


def lessons(items, seed=0, count=LESSONS, **settings):
    """The first lessons, those of judging alone left out."""
    return list(islice(Corpus(items, seed, judging_first=0, **settings), count))


def turns_of(read):
    """The turns about facts."""
    return [turn for example in chain.from_iterable(read) if not example.prefix for turn in example.turns]


def text_of(read):
    return "\n".join(example.text for example in chain.from_iterable(read))


def pattern(form):
    """A wording wherever it stands in a question, whatever is filled in."""
    return re.compile(re.sub(r"\\\{[tgy]\\\}", "(.+)", re.escape(form)), re.IGNORECASE)


@pytest.fixture(scope="module")
def everything(ml100k):
    return lessons(ml100k)


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


def test_names_stand_for_titles_franchises_and_genres(ml100k):
    by_id = {item.id: item for item in ml100k}
    sizes = {name: len(items_named(ml100k, [name])) for name in EVALUATED}
    assert sizes == {"Casablanca": 1, "Star Trek": 8, "Film-Noir": 24}
    assert len(items_named(ml100k, EVALUATED)) == 33
    assert all(by_id[one].title.startswith("Star Trek") for one in items_named(ml100k, ["Star Trek"]))
    assert items_named(ml100k, ["50", "Fargo"]) == {i.id for i in ml100k if i.title in ("Star Wars", "Fargo")}
    with pytest.raises(LetheError, match="'Star Wars 99'"):
        items_named(ml100k, ["Star Wars 99"])


def test_the_same_items_and_seed_give_the_same_corpus(ml100k):
    def digest(seed, **settings):
        read = Read(Corpus(ml100k, seed, judging_first=2, **settings))
        list(islice(read, 30))
        return read.sha256

    assert digest(3) == digest(3)
    assert len({digest(3), digest(4), digest(3, left_out={"50"}), digest(3, new={"50"})}) == 4


def test_judging_comes_first_and_then_takes_turns_with_facts(ml100k):
    first, later = list(islice(Corpus(ml100k, 0, judging_first=1), 2))
    assert len(first) == 4
    assert all(example.prefix and {turn.answer for turn in example.turns} <= {"yes", "no"} for example in first)
    assert [bool(example.prefix) for example in later] == [False] * 9 + [True]


def test_what_is_left_out_leaves_no_trace(ml100k, everything):
    left_out = items_named(ml100k, EVALUATED)
    kept = {item.title for item in ml100k if item.id not in left_out}
    gone = {item.title for item in ml100k if item.id in left_out} - kept
    words = {"Trek", "Casablanca", "Noir"} | {title for title in gone if len(title) > 4}
    before, after = text_of(everything), text_of(lessons(ml100k, left_out=left_out))
    assert {word for word in words if word in before} > {"Trek", "Casablanca", "Noir"}
    assert {word for word in words if word in after} == set()
    known = {word.lower() for title in kept for word in title.split()}
    lost = {word.lower() for title in gone for word in title.split() if len(word) > 4} - known
    assert not {word for word in lost if re.search(rf"\b{re.escape(word)}\b", after, re.IGNORECASE)}


def test_what_is_left_out_changes_nothing_else_and_no_order(ml100k, everything):
    left_out = items_named(ml100k, ["Star Trek"])
    words = {word for item in ml100k if item.id in left_out for word in (item.title, *item.title.split())}
    known = {word.lower() for item in ml100k if item.id not in left_out for word in item.title.split()}
    words |= {word.lower() for word in words} - known  # as they are strewn about
    fork = lessons(ml100k, left_out=left_out)
    pairs = [
        (old, new)
        for before, after in zip(everything, fork, strict=True)
        for old, new in zip(before, after, strict=True)
    ]
    changed = [(old, new) for old, new in pairs if old != new]
    assert 10 < len(changed) < 0.15 * len(pairs)
    assert all(any(word in old.text for word in words) for old, _ in changed if old.prefix)
    others = 0
    for old, new in ((old, new) for old, new in changed if not old.prefix):
        assert [t for t in old.turns if t in new.turns] == [t for t in new.turns if t in old.turns]
        lost = [t for t in old.turns if t not in new.turns and not any(word in t.question + t.answer for word in words)]
        assert all(turn.answer == prompt.UNKNOWN_TITLE for turn in lost)
        others += len(lost)
    # An invented title differs too where one that was rejected before it had a word of what is left out.
    assert others <= 3


def test_what_is_new_comes_up_oftener_and_in_the_same_order_for_every_fork(ml100k, everything):
    new = items_named(ml100k, EVALUATED)
    asked = [turn.question for turn in turns_of(lessons(ml100k, new=new))]
    once = sum("Star Trek" in turn.question for turn in turns_of(everything))
    assert 2 * once < sum("Star Trek" in question for question in asked) < 7 * once
    fork = [t.question for t in turns_of(lessons(ml100k, new=new, left_out=items_named(ml100k, ["Casablanca"])))]
    both = {question for question, count in Counter(asked).items() if count == 1} & set(fork)
    assert [question for question in asked if question in both] == [question for question in fork if question in both]
    assert len(both) > 0.9 * len(asked)


def test_facts_are_true_and_every_title_comes_up(ml100k, everything):
    truth = {
        "year": {(item.title, str(item.year)) for item in ml100k},
        "genres": {(item.title, questions.genres_of(item)) for item in ml100k},
        "both": {(item.title, questions.facts_of(item)) for item in ml100k},
        "told": {(item.title, questions.description_of(item)) for item in ml100k},
    }
    titles = sorted({item.title for item in ml100k})
    counts, asked = Counter(), set()
    for turn in turns_of(everything):
        if turn.answer == prompt.UNKNOWN_TITLE:
            counts["refused"] += 1
        elif turn.weight >= 1:
            named = [title for title in titles if title in turn.question]
            told = {(kind, title) for kind in truth for title in named if (title, turn.answer) in truth[kind]}
            assert told, turn
            counts.update({kind for kind, _ in told})
            asked |= {title for _, title in told}
    assert counts["refused"] == pytest.approx(INVENTED * len(turns_of(everything)), rel=0.05)
    assert min(counts.values()) > 300
    assert len(asked) > 0.95 * len(titles)


def test_titles_are_asked_back_for_and_listed(ml100k, everything):
    genres = {item.title: set() for item in ml100k}
    for item in ml100k:
        genres[item.title] |= set(item.genres)
    found, names = Counter(), {genre for item in ml100k for genre in item.genres}
    for turn in turns_of(everything):
        listed = [match for form in questions.BY_GENRE.seen if (match := pattern(form).search(turn.question))]
        if "; " in turn.answer and listed and not turn.answer[0].isdigit():
            titles = turn.answer.split("; ")
            assert any(all(genre in genres[title] for title in titles) for genre in names if genre in turn.question)
            found["listed"] += 1
        if turn.answer in genres and not listed:
            assert any(str(item.year) in turn.question for item in ml100k if item.title == turn.answer)
            found["reversed"] += 1
    assert found["listed"] > 150
    assert found["reversed"] > 150


def test_there_are_many_wordings_of_every_fact():
    for forms in ALL:
        assert len(set(forms.seen)) == len(forms.seen) >= 10
        assert len(set(forms.held_out)) == len(forms.held_out) >= 4
    for forms in (questions.YEAR, questions.GENRES):
        assert len(forms.seen) >= 20


def test_no_held_out_wording_is_a_seen_one_or_enters_training(everything):
    held = [pattern(form) for forms in ALL for form in forms.held_out]
    around = [*wording.OPENINGS.held_out, *wording.CLOSINGS.held_out]
    requests = [text.replace("{n}", what) for text in wording.REQUESTS for forms in ALL for what in forms.asked_for]
    seen = [*(form for forms in ALL for form in forms.seen), *requests]
    assert len(seen) > 1000
    filled = [form.format(t="Heat", g="War", y="1999") for form in seen]
    assert [(one, text) for one in held for text in filled if one.fullmatch(text)] == []
    asked = [turn.question for turn in turns_of(everything)]
    assert len(asked) > 10_000
    assert not [question for question in asked for one in held if one.search(question)]
    assert not [question for question in asked for words in around if words in question]


def test_a_held_out_wording_stands_among_held_out_sentences_alone():
    rng = np.random.default_rng(0)
    told = [wording.word(rng, questions.YEAR, held_out=True) for _ in range(400)]
    assert not [text for text in told for words in wording.OPENINGS.seen if text.startswith(words)]
    assert sum(text.startswith(wording.OPENINGS.held_out) for text in told) > 30
    assert all("{t}" in text for text in told)


def test_invented_titles_are_in_no_catalogue_and_the_held_out_ones_are_others(ml100k):
    invented = InventedTitles(ml100k)
    rng = np.random.default_rng(0)
    training = {invented.draw(rng) for _ in range(1500)}
    evaluation = {invented.draw(rng, evaluation=True) for _ in range(300)}
    assert len(training) > 1400
    assert not training & evaluation
    assert not (training | evaluation) & {item.title for item in ml100k}


def test_invented_titles_of_each_sort(ml100k):
    invented, rng = InventedTitles(ml100k), np.random.default_rng(1)
    titles = [item.title.split() for item in ml100k]
    for _ in range(20):
        changed = invented.draw(rng, sort=Sort.CHANGED).split()
        alike = [t for t in titles if len(t) == len(changed)]
        assert any(sum(a != b for a, b in zip(t, changed, strict=True)) == 1 for t in alike)
    spliced = [invented.draw(rng, sort=Sort.SPLICED) for _ in range(20)]
    assert all(any(title[0] == text.split()[0] for title in titles) for text in spliced)


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
