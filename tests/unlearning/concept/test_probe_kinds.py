from dataclasses import replace

import numpy as np
import pytest

from db.errors import LetheError
from llm.tiny import questions
from tests.unlearning.concept.world import catalogue, concept, probes
from unlearning.concept.base import Concept, Kind, ProbeKind, Use
from unlearning.concept.controls import matched_controls
from unlearning.concept.facts import told
from unlearning.concept.nearest import nearest
from unlearning.concept.probe_kinds import GENRES, TITLE, list_probes
from unlearning.concept.probes import ProbeSizes, build_probes
from unlearning.concept.wordings import every_wording

ATTACKS = (ProbeKind.PARAPHRASE, ProbeKind.FORCED_PREFIX, ProbeKind.FORCED_CANDIDATE, ProbeKind.FLUENCY)


def test_every_kind_is_measured():
    assert {probe.kind for probe in probes().of(use=Use.HELD_OUT)} == {*ProbeKind} - {ProbeKind.NAMESAKE}


@pytest.mark.parametrize("kind", ATTACKS)
def test_attacks_and_running_text_train_nothing(kind):
    assert {probe.use for probe in probes().of(kind)} == {Use.HELD_OUT}


def test_wordings_are_none_of_the_corpus():
    known = {
        wording
        for forms in vars(questions).values()
        if isinstance(forms, questions.Forms)
        for wording in (*forms.seen, *forms.held_out)
    }
    assert not every_wording() & known
    asked_for = [phrase for forms in (questions.YEAR, questions.GENRES) for phrase in forms.asked_for]
    assert not [wording for wording in every_wording() if any(phrase in wording for phrase in asked_for)]
    assert all(wording.count("{t}") == 1 for wording in every_wording())


def test_a_list_comes_to_a_concept_item_and_names_none_before():
    titles = {item.title for item in concept().items}
    asked = probes().of(ProbeKind.LIST)
    assert {probe.use for probe in asked} == set(Use)
    for probe in asked:
        assert probe.answers[0].strip() in titles
        assert probe.begun.endswith(";")
        assert len(probe.begun.rstrip(";").split("; ")) == 2
        assert not titles & set(probe.begun.rstrip(";").split("; "))
        assert probe.alternates[0].strip() not in titles


def test_every_training_wording_asks_for_a_list_and_of_the_others_one_a_shelf():
    wordings = {Use.TRAIN: ("A {g}", "B {g}", "C {g}"), Use.SELECT: ("D {g}", "E {g}"), Use.HELD_OUT: ("F {g}",)}
    made = list_probes(concept(), catalogue(), wordings, told(concept(), catalogue()))
    counts = {use: sum(probe.use is use for probe in made) for use in Use}
    shelves = counts[Use.HELD_OUT]
    assert shelves
    assert counts == {Use.TRAIN: 3 * shelves, Use.SELECT: shelves, Use.HELD_OUT: shelves}


def test_the_list_is_the_catalogues_own():
    """What is begun and answered is what the corpus lists of that genre, in its order."""
    probe = probes().of(ProbeKind.LIST).probes[0]
    (genre,) = [name for name in ("Action", "Drama", "Sci-Fi", "Comedy") if name in probe.question]
    shelf = [item.title for item in catalogue() if genre in item.genres]
    listed = [*probe.begun.rstrip(";").split("; "), probe.answers[0].strip()]
    place = shelf.index(listed[0])
    assert shelf[place : place + 3] == listed


def test_no_list_of_a_shelf_on_which_an_item_outside_of_the_same_title_stands():
    mine = concept().items[0]
    items = (*catalogue(), replace(mine, id="twin", genres=(mine.genres[0],)))

    def shelves(catalogue):
        asked = build_probes(concept(), catalogue, seed=0, sizes=ProbeSizes(people=1)).of(ProbeKind.LIST, use=Use.TRAIN)
        return {genre for p in asked if p.item == mine.id for genre in mine.genres if genre in p.question}

    assert shelves(catalogue()) == {*mine.genres}
    assert shelves(items) == {*mine.genres[1:]}


def test_no_list_where_only_concept_items_stand_before():
    everything = Concept("Drama", Kind.GENRE, tuple(item for item in catalogue() if "Drama" in item.genres))
    asked = {Use.HELD_OUT: questions.BY_GENRE.held_out}
    made = list_probes(everything, catalogue(), asked, told(everything, catalogue()))
    assert not any("Drama" in probe.question for probe in made)


def test_an_answer_begun_and_its_rest_are_the_bases_answer():
    whole = {probe.answers[0] for probe in probes().of(ProbeKind.DIRECT)}
    begun = probes().of(ProbeKind.FORCED_PREFIX)
    assert len(begun) == 12  # two items, three facts, two wordings; both items have two genres
    assert {probe.begun + probe.answers[0] for probe in begun} <= whole


def test_a_choice_is_between_an_item_and_its_control_in_two_prompts():
    controls, names = matched_controls(concept(), catalogue()), {item.id: item for item in catalogue()}
    asked = probes().of(ProbeKind.FORCED_CANDIDATE)
    assert {probe.form for probe in asked} == {GENRES, TITLE}
    assert len(asked) == 2 * 2 * ProbeSizes().people
    for probe in asked:
        mine, theirs = (text.splitlines()[-1] for text in (probe.question, probe.contrast))
        assert names[probe.item].title in mine
        assert controls[probe.item].title in theirs
        assert ("Drama" in mine or "Action" in mine or "Comedy" in mine) == (probe.form == GENRES)
        assert probe.question.splitlines()[:-1] == probe.contrast.splitlines()[:-1]
        assert not any(item.title in probe.question.partition("Candidate:")[0] for item in concept().items)


def test_neighbours_by_vectors():
    angles = {item.id: n / 60 for n, item in enumerate(catalogue())}
    vectors = {key: np.array([np.cos(angle), np.sin(angle)]) for key, angle in angles.items()}
    assert [item.id for item in nearest(concept(), catalogue(), vectors, 4)] == ["27", "30", "26", "31"]
    with pytest.raises(LetheError, match="has no vector"):
        nearest(concept(), catalogue(), {key: vectors[key] for key in ("28", "29")}, 4)
    sizes = ProbeSizes(neighbours=4, beside=2, retained=10, people=1)
    found = build_probes(concept(), catalogue(), seed=0, sizes=sizes, vectors=vectors).of(ProbeKind.NEIGHBOUR)
    assert {probe.item for probe in found} == {"27", "30", "26", "31", "25", "32"}
    assert {probe.item for probe in found if probe.use is Use.HELD_OUT} == {"27", "30", "26", "31"}
    assert {probe.use for probe in found if probe.item in ("25", "32")} == {Use.TRAIN}


def test_an_unknown_year_or_genre_is_never_asked():
    bare = tuple(replace(item, year=None, genres=()) for item in catalogue()[28:30])
    items = tuple({item.id: item for item in (*catalogue(), *bare)}.values())
    asked = build_probes(Concept("Bare", Kind.ITEMS, bare), items, seed=0, sizes=ProbeSizes(people=1))
    assert {probe.kind for probe in asked.forgotten()} == {ProbeKind.FORCED_CANDIDATE}
