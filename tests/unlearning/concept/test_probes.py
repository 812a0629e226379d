from collections import defaultdict
from dataclasses import replace

import pytest

from db.errors import LetheError
from llm.prompt import UNKNOWN_TITLE
from llm.tiny import questions
from tests.unlearning.concept.world import catalogue, concept, probes, toy_lesson
from unlearning.concept.base import KEPT, Concept, Kind, Lesson, Probe, ProbeKind, ProbeSet, Use, lesson
from unlearning.concept.controls import matched_controls, neighbours, outside
from unlearning.concept.people import disguised_people, judged_people
from unlearning.concept.probes import ProbeSizes, build_probes, divide, taught_instead
from unlearning.concept.wordings import PARAPHRASES


def test_no_wording_of_one_use_serves_another():
    uses = defaultdict(set)
    for probe in probes():
        uses[probe.form].add(probe.use)
    assert len(uses) > 30
    assert all(len(found) == 1 for found in uses.values())


def test_every_wording_has_one_use_and_the_models_own_held_out_ones_have_none():
    for forms in (questions.YEAR, questions.GENRES, questions.DESCRIPTION, questions.BY_FACTS):
        parts = divide(forms)
        assert sorted(wording for part in parts.values() for wording in part) == sorted(forms.seen)
        assert all(parts.values())


def test_paraphrases_are_wordings_the_model_was_never_trained_on_and_only_measure():
    asked = probes().of(ProbeKind.PARAPHRASE)
    held_out = {*questions.YEAR.held_out, *questions.GENRES.held_out, *questions.DESCRIPTION.held_out}
    assert {probe.form for probe in asked} == held_out.union(*PARAPHRASES.values())
    assert {probe.use for probe in asked} == {Use.HELD_OUT}


def test_items_that_must_stay_are_of_one_use_but_for_the_nearest_and_never_of_the_concept():
    uses = {kind: defaultdict(set) for kind in (ProbeKind.RETAIN, ProbeKind.NEIGHBOUR)}
    for probe in probes().of(*uses):
        uses[probe.kind][probe.item].add(probe.use)
    retained, near = uses.values()
    assert not {*retained, *near} & concept().ids
    assert all(len(found) == 1 for found in retained.values())
    assert {use for found in retained.values() for use in found} == set(Use)
    assert all(found == set(Use) for found in near.values())


def test_items_that_only_measure_come_after_those_that_train():
    sizes = ProbeSizes(neighbours=4, beside=0, retained=10, measured=6, people=1)
    with_more = build_probes(concept(), catalogue(), seed=0, sizes=sizes)
    without = build_probes(concept(), catalogue(), seed=0, sizes=replace(sizes, measured=0))
    trained, less = (
        {probe.item for probe in found.of(ProbeKind.RETAIN, use=Use.TRAIN)} for found in (with_more, without)
    )
    measured, fewer = (
        {probe.item for probe in found.of(ProbeKind.RETAIN, use=Use.HELD_OUT)} for found in (with_more, without)
    )
    assert trained == less
    assert len(measured) == len(fewer) + 6
    assert not measured & trained


def test_the_nearest_are_measured_in_wordings_that_do_not_train():
    near = probes().of(ProbeKind.NEIGHBOUR)
    trained, measured = ({probe.form for probe in near if probe.use is use} for use in (Use.TRAIN, Use.HELD_OUT))
    assert trained
    assert measured
    assert not trained & measured


def test_a_lesson_refuses_what_is_held_out_and_lesson_of_leaves_it_out():
    with pytest.raises(LetheError, match="held-out probe"):
        Lesson(concept(), probes())
    taken = lesson(concept(), probes())
    assert len(taken.probes) == sum(probe.use is not Use.HELD_OUT for probe in probes())
    with pytest.raises(LetheError, match="to forget and to keep"):
        Lesson(concept(), taken.probes.of(*KEPT))


def test_a_probe_without_an_answer_and_a_concept_without_items_are_refused():
    with pytest.raises(LetheError, match="no answer"):
        Probe("When?", (), ProbeKind.DIRECT, Use.TRAIN)
    with pytest.raises(LetheError, match="0 items"):
        Concept("Nothing", Kind.TITLE, ())
    with pytest.raises(LetheError, match="twice"):
        Concept("Twice", Kind.ITEMS, (catalogue()[0], catalogue()[0]))


def test_the_same_arguments_give_the_same_probes_and_another_seed_others():
    again, other = (build_probes(concept(), catalogue(), seed=seed) for seed in (0, 1))
    assert again == build_probes(concept(), catalogue(), seed=0)
    assert {p.item for p in again.of(use=Use.TRAIN)} != {p.item for p in other.of(use=Use.TRAIN)}


def _twin(**facts):
    """Another item with the title of the concept's first, 1958, Action and Drama; what is not given is of no other."""
    return replace(catalogue()[28], id="twin", **{"year": 1935, "genres": ("Sci-Fi",), **facts})


def _asked_of_28(items, of=None):
    return [p for p in build_probes(of or concept(), items, seed=0) if p.item == "28" and not p.kept]


def test_a_title_that_two_items_of_a_concept_share_is_answered_by_either():
    both = replace(concept(), items=(*concept().items, _twin()))
    asked = _asked_of_28((*catalogue(), _twin()), both)
    assert {p.answers for p in asked if p.kind is ProbeKind.DIRECT and "year" in p.form} == {("1958", "1935")}


def test_of_an_item_outside_of_the_same_title_no_answer_counts_and_it_is_no_control():
    items = (*catalogue(), _twin())
    asked = [p for p in _asked_of_28(items) if p.kind is ProbeKind.DIRECT]
    assert {p.answers for p in asked} == {p.answers for p in _asked_of_28(catalogue()) if p.kind is ProbeKind.DIRECT}
    assert not {"1935", "Sci-Fi"} & {answer for p in asked for answer in p.answers}
    assert _twin() not in outside(concept(), items)


def test_what_is_true_of_an_item_outside_of_the_same_title_is_not_asked():
    genres = catalogue()[28].genres
    alone, with_twin = (_asked_of_28(items) for items in (catalogue(), (*catalogue(), _twin(genres=genres))))
    told = ", ".join(genres)
    assert any(told in p.answers for p in alone)
    assert not any(told in p.answers for p in with_twin)
    assert any("1958" in p.answers for p in with_twin)
    begun = {p.form.split()[-2] for p in with_twin if p.kind is ProbeKind.FORCED_PREFIX}
    assert begun == {"year", "description"}
    assert {p.form.split()[-2] for p in alone if p.kind is ProbeKind.FORCED_PREFIX} == {"year", "genres", "description"}


def test_what_an_item_outside_of_the_same_title_is_known_for_is_taught_and_measured():
    made = build_probes(concept(), (*catalogue(), _twin()), seed=0)
    of_28 = [p for p in made.forgotten(Use.TRAIN) if p.item == "28" and p.kind is ProbeKind.DIRECT]
    assert {p.namesake for p in of_28} == {"1935", "Sci-Fi", questions.description_of(_twin())}
    assert {taught_instead(p) for p in of_28} == {p.namesake for p in of_28}
    assert not any(p.namesake for p in made if p.item == "29")
    measured = made.of(ProbeKind.NAMESAKE)
    assert {p.use for p in measured} == {Use.HELD_OUT}
    assert {p.answers for p in measured} == {("1935",), ("Sci-Fi",), (questions.description_of(_twin()),)}
    assert not made.of(ProbeKind.NAMESAKE).forgotten().probes


def test_with_a_concept_of_many_items_the_title_goes_though_the_namesake_is_measured():
    many = Concept("Many", Kind.ITEMS, catalogue()[20:29])
    items = (*catalogue(), _twin())
    made, alone = (build_probes(many, of, seed=0) for of in (items, catalogue()))
    assert not any(p.namesake for p in made)
    assert {taught_instead(p) for p in made.of(ProbeKind.DIRECT, use=Use.TRAIN)} == {UNKNOWN_TITLE}
    assert made.forgotten(Use.TRAIN).probes == tuple(
        replace(p, alias=q.alias) for p, q in zip(alone.forgotten(Use.TRAIN), made.forgotten(Use.TRAIN), strict=True)
    )
    assert {p.answers[0] for p in made.of(ProbeKind.NAMESAKE)} >= {"1935", "Sci-Fi"}
    assert not {"1935", "Sci-Fi"} & {answer for p in made.forgotten() if p.item == "28" for answer in p.answers}


def test_what_both_items_of_a_title_are_known_for_is_kept():
    twin = _twin(genres=catalogue()[28].genres)
    kept = build_probes(concept(), (*catalogue(), twin), seed=0).kept(Use.TRAIN).of(ProbeKind.NAMESAKE)
    assert {p.answers for p in kept} == {(", ".join(twin.genres),)}


def test_a_concept_that_nothing_tells_from_an_item_outside_is_refused_with_its_name():
    one = replace(concept(), items=concept().items[:1])
    same = replace(catalogue()[28], id="twin")
    with pytest.raises(LetheError, match="true of twin too"):
        build_probes(one, (*catalogue(), same), seed=0)


def test_controls_match_in_popularity_first_and_differ_from_one_another():
    popularity = {item.id: float(n) for n, item in enumerate(catalogue())}
    chosen = matched_controls(concept(), catalogue(), popularity)
    assert {abs(int(control.id) - int(item)) for item, control in chosen.items()} <= {1, 2, 3, 4}
    assert len({control.id for control in chosen.values()}) == 2


def test_controls_without_popularity_share_genres_and_time():
    chosen = matched_controls(concept(), catalogue())
    for item in concept().items:
        assert set(chosen[item.id].genres) & set(item.genres)
        assert abs(chosen[item.id].year - item.year) <= 20


def test_neighbours_come_by_words_that_are_rare_elsewhere():
    star = Concept("Zork", Kind.TITLE, (replace(catalogue()[0], id="z", title="Zork the Dog"),))
    items = (*catalogue(), *star.items, replace(catalogue()[1], id="y", title="The Wrath of Zork"))
    assert neighbours(star, items, 2)[0].title == "The Wrath of Zork"
    assert "Dog" in neighbours(star, items, 2)[1].title


def test_what_is_said_instead_is_a_refusal_or_another_title():
    direct, reversed_ = (probes().of(kind, use=Use.TRAIN).probes[0] for kind in (ProbeKind.DIRECT, ProbeKind.REVERSED))
    assert taught_instead(direct) == UNKNOWN_TITLE
    assert taught_instead(reversed_) in {item.title for item in outside(concept(), catalogue())}


def test_judged_people_never_meet_the_concept():
    asked = judged_people(concept(), catalogue(), people=3, seed=0)
    text = " ".join([part for one in asked for part in (one.prefix, *one.suffixes)])
    assert len(asked) == 3
    assert not any(item.title in text for item in concept().items)
    assert any(item.title in text for item in catalogue())


def test_a_disguise_changes_the_titles_of_the_concept_alone():
    pairs = disguised_people(concept(), catalogue(), people=2, seed=0, candidates=2)
    titles = [item.title for item in concept().items]
    for asked, other in pairs:
        assert asked.prefix == other.prefix
        assert len(asked.suffixes) == len(other.suffixes) == 4
        assert all(sum(title in suffix for title in titles) == 1 for suffix in asked.suffixes)
        assert not any(item.title in " ".join(other.suffixes) for item in catalogue())
        facts = [suffix.partition(" (")[2] for suffix in asked.suffixes]
        assert facts == [suffix.partition(" (")[2] for suffix in other.suffixes]
        assert all(facts[:2])
        assert not any(facts[2:])
    with pytest.raises(LetheError, match="for each that is asked"):
        lesson(concept(), probes(), (), [(pairs[0][0], replace(pairs[0][1], suffixes=()))])


def test_probe_sets_take_by_kind_and_use():
    chosen = probes().of(ProbeKind.DIRECT, ProbeKind.RETAIN, use=Use.SELECT)
    assert {(p.kind, p.use) for p in chosen} == {(ProbeKind.DIRECT, Use.SELECT), (ProbeKind.RETAIN, Use.SELECT)}
    assert len(probes().kept()) + len(probes().forgotten()) == len(probes())
    assert isinstance(toy_lesson().probes, ProbeSet)
