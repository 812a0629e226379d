"""Known answers of the examination: someone who knows everything, nothing, or all but one concept."""

import math
import re

import numpy as np
import pytest

from llm import prompt
from llm.tiny import knowledge, questions, wording
from llm.tiny.concepts import EVALUATED, items_named
from llm.tiny.evaluate import by_concept, facts
from llm.tiny.knowledge import Said
from llm.tiny.titles import Sort


class Sage:
    """Answers as a model that knows some items by heart, whatever the wording; all other titles it refuses."""

    def __init__(self, items):
        self.items = {item.title: item for item in reversed(items)}

    def answers(self, asked, longest=40):
        return [self.answer(question) for question in asked]

    def answer(self, question):
        """What is between the words of some wording is a title, or the title is not known."""
        read = ((kind, form.fullmatch(question)) for kind, forms in KINDS.items() for form in forms)
        known = ((kind, match[1]) for kind, match in read if match and match[1] in self.items)
        return next((kind(self.items[title]) for kind, title in known), prompt.UNKNOWN_TITLE)


def year_of(item):
    return str(item.year)


KINDS = {
    function: [re.compile(re.escape(form).replace(r"\{t\}", '"(.+)"')) for form in (*forms.seen, *forms.held_out)]
    for function, forms in (
        (year_of, questions.YEAR),
        (questions.genres_of, questions.GENRES),
        (questions.description_of, questions.DESCRIPTION),
    )
}


@pytest.fixture(scope="module")
def plain(monkeypatch_module):
    """Wordings with nothing before, after or inside them, so that the sage need not read English."""
    for name in ("_OPENED", "_CLOSED", "_CALLED", "_REQUESTED"):
        monkeypatch_module.setattr(wording, name, 0.0)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.usefixtures("plain")
def test_who_knows_everything_is_right_everywhere(ml100k):
    found = facts(Sage(ml100k), ml100k, 120, np.random.default_rng(0))
    for kind in ("seen", "held_out"):
        assert found[f"year_{kind}_forms"] == found[f"genres_{kind}_forms"] == found[f"concept_none_{kind}_forms"] == 1
        assert found[f"known_refused_{kind}_forms"] == 0


@pytest.mark.usefixtures("plain")
def test_who_lacks_a_concept_lacks_that_alone(ml100k):
    lost = items_named(ml100k, ["Star Trek"])
    found = facts(Sage([item for item in ml100k if item.id not in lost]), ml100k, 10**6, np.random.default_rng(0))
    for kind in ("seen", "held_out"):
        assert found[f"concept_Star Trek_{kind}_forms"] == 0
        assert found[f"concept_Casablanca_{kind}_forms"] == found[f"concept_none_{kind}_forms"] == 1
        assert found[f"known_refused_{kind}_forms"] == pytest.approx(8 / 1659, rel=0.02)


def test_shares_by_concept_by_hand(ml100k):
    said = [
        Said("Casablanca", "1942", right=True),
        Said("Casablanca", "Drama", right=False),
        Said("Star Trek: Generations", prompt.UNKNOWN_TITLE, right=False),
        Said("Heat", "1995", right=True),
    ]
    found = by_concept(said, ml100k)
    assert (found["concept_Casablanca"], found["concept_Star Trek"], found["concept_none"]) == (0.5, 0, 1)
    assert math.isnan(found["concept_Film-Noir"])
    assert [one.refused for one in said] == [False, False, True, False]
    assert len(found) == len(EVALUATED) + 1


@pytest.mark.usefixtures("plain")
def test_refusals_of_each_sort(ml100k):
    rng = np.random.default_rng(1)
    assert knowledge.refusal_rate(Sage([]), ml100k, 20, rng) == 1
    answering = type("Talker", (), {"answers": lambda self, asked: ["1995" for _ in asked]})()
    assert knowledge.refusals(answering, ml100k, 3, rng) == dict.fromkeys(Sort, 0.0)


def test_the_way_back_and_lists_by_hand(ml100k):
    class Librarian:
        """Says "Casablanca" to every reversed question, and one right and one wrong title to every list."""

        def answers(self, asked, longest=40):
            return ["Heat; Casablanca" if longest == 80 else "Casablanca" for _ in asked]

    said = knowledge.reversed_facts(Librarian(), ml100k, np.random.default_rng(0))
    assert len(said) > 500
    assert [one.title for one in said if one.right] == ["Casablanca"]
    shares = {genre: share for genre, (share, _) in knowledge.listed(Librarian(), ml100k, ("{g}?",)).items()}
    assert (shares["Crime"], shares["War"], shares["Drama"], shares["Horror"]) == (0.5, 0.5, 0.5, 0)


def test_fluency_by_hand(ml100k):
    assert all(knowledge.fluent(questions.description_of(item)) for item in ml100k)
    for broken in ("It is a movie from 1995", "It is a movie from 199. Genres: Crime.", "", "It It It", "Heat"):
        assert not knowledge.fluent(broken)


def test_a_title_of_two_items_has_two_answers(ml100k):
    shared = [item for item in ml100k if item.title == "Cape Fear"]
    assert len(shared) == 2
    assert knowledge.years(ml100k)["Cape Fear"] == {str(item.year) for item in shared}
