import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from db.errors import LetheError
from tests.llm.toys import toy_model
from tests.unlearning.concept import forks
from tests.unlearning.concept.world import catalogue, concept, probes
from unlearning.concept.base import Probe, ProbeKind, Use
from unlearning.concept.cells import Sample
from unlearning.concept.controls import matched_controls
from unlearning.concept.evaluate import (
    EXPOSURE,
    EXTRACTION,
    FORGET,
    KEEP,
    NAMESAKES,
    RANKING,
    SAID,
    SAID_ELSEWHERE,
    TEXT,
    UNMET,
    Examined,
    Fork,
    Questionnaire,
    accuracy_of,
    compare,
    examine,
    preference_of,
    probability_of,
    questionnaire,
    telling_families,
    unmet,
)
from unlearning.concept.gates import gated, judge
from unlearning.concept.judgement import leanings
from unlearning.concept.listings import draw_listings, ndcg, rank
from unlearning.concept.open_lists import mentions, open_lists
from unlearning.concept.probe_kinds import GENRES
from unlearning.concept.probes import ProbeSizes, build_probes
from unlearning.concept.spoken import Spoken, fluent, speak

KNOWN = accuracy_of(ProbeKind.DIRECT)


def asked():
    """Facts of the concept, facts and running text of all else."""
    text = tuple(Probe(p.question, p.answers, ProbeKind.FLUENCY, Use.HELD_OUT, item=p.item) for p in forks.kept_facts())
    return Questionnaire(
        {
            ProbeKind.DIRECT: forks.concept_facts(),
            ProbeKind.RETAIN: forks.kept_facts(),
            ProbeKind.FLUENCY: text,
        }
    )


def examined(model) -> Examined:
    return examine(forks.base(), Fork(model), asked())


@pytest.fixture(scope="module")
def base():
    return examined(forks.base())


@pytest.fixture(scope="module")
def oracle():
    return examined(forks.oracle())


def test_the_base_has_forgotten_nothing_and_the_oracle_everything(base, oracle):
    for found, share in ((base, 0), (oracle, 1)):
        cells = compare(base, found, oracle)
        for measure in (KNOWN, probability_of(ProbeKind.DIRECT), EXTRACTION):
            assert cells[measure].tells
            assert cells[measure].forgotten == share
    assert base.mean(KNOWN) == 1
    assert oracle.mean(KNOWN) == 0


def test_what_must_stay_does_not_tell_the_oracle_from_the_base(base, oracle):
    cells = compare(base, oracle, oracle)
    assert not cells[accuracy_of(ProbeKind.RETAIN)].tells
    assert telling_families(cells) == {"direct", "extraction"}
    assert cells[SAID_ELSEWHERE].base == 1


def test_a_collapsed_model_leaks_nothing_and_has_lost_everything(base, oracle):
    cells = compare(base, examined(forks.collapsed()), oracle)
    assert cells[KNOWN].forgotten == 1
    assert cells[accuracy_of(ProbeKind.RETAIN)].value == 0
    assert cells[TEXT].change.low > 1
    assert cells[SAID].value == cells[SAID_ELSEWHERE].value == 0


def test_examining_leaves_no_trace(base):
    again = examined(forks.base())
    for measure, found in base.samples.items():
        np.testing.assert_array_equal(found.values, again.samples[measure].values)


def test_greedy_answers_are_what_teacher_forcing_says():
    model, wanted = forks.base(), forks.concept_facts()
    said = speak(model, [probe.question for probe in wanted], longest=8)
    assert [one.text for one in said] == [probe.answers[0] for probe in wanted]
    assert all(one.ended for one in said)


def test_language_ends_says_something_and_does_not_repeat_itself():
    model, (probe, *_) = forks.base(), forks.concept_facts()
    texts = [(probe.answers[0], True), (probe.answers[0], False), ("", True), ("Dog " * 12, True), ("xq zw kj", True)]
    said = [Spoken(probe.question, text, ended) for text, ended in texts]
    assert fluent(model, said).tolist() == [1, 0, 0, 0, 0]


def test_a_questionnaire_asks_only_what_is_held_out_and_no_more_than_allowed():
    one = questionnaire(concept(), catalogue(), probes(), seed=0, most=7, people=3)
    assert {probe.use for part in one.probes.values() for probe in part} == {Use.HELD_OUT}
    assert max(map(len, one.probes.values())) == 7
    assert len(one.listings) == 3
    assert one.probes == questionnaire(concept(), catalogue(), probes(), seed=0, most=7, people=3).probes


def test_every_measure_is_taken_of_a_whole_questionnaire():
    one = questionnaire(concept(), catalogue(), probes(), seed=0, most=3, people=2)
    found = examine(toy_model(), Fork(toy_model()), one)
    assert set(found.samples) == {*FORGET, *KEEP}
    assert all(np.isfinite(sample.values).all() for sample in found.samples.values())
    assert math.isnan(found.mean("no such measure"))


def test_the_gates_read_no_more_than_what_they_ask_for():
    one = questionnaire(concept(), catalogue(), probes(), seed=0, most=3, people=2)
    found, fewer = (examine(toy_model(), Fork(forks.base()), asked) for asked in (one, gated(one)))
    base = examine(toy_model(), Fork(toy_model()), one)
    assert set(fewer.samples) < set(found.samples)
    assert judge(base, fewer).failing == judge(base, found).failing != ()


def test_leanings_are_logit_differences_of_the_whole_turn():
    model = toy_model()
    (probe, *_) = probes().of(ProbeKind.FORCED_CANDIDATE)
    ids = model.prompt(probe.question)
    logits = model.model(torch.tensor([ids])).logits[0, -1]
    expected = float(logits[model.token("yes")] - logits[model.token("no")])
    assert leanings(model, [probe.contrast, probe.question])[1] == pytest.approx(expected, abs=1e-4)


def test_a_model_that_prefers_nothing_is_level():
    """All logits of a collapsed model are equal: a half of the choices, and the order as it was given."""
    one = questionnaire(concept(), catalogue(), probes(), seed=0, most=5, people=2)
    found = examine(forks.base(), Fork(forks.collapsed()), one)
    assert found.samples[preference_of(GENRES)].values.tolist() == [0.5] * len(
        [probe for probe in one.of(ProbeKind.FORCED_CANDIDATE) if probe.form == GENRES]
    )
    assert found.mean(EXPOSURE) == 0


def test_unmet_titles_are_chosen_by_what_else_the_prompt_tells(monkeypatch):
    """Somebody who likes the concept's titles alone, and somebody who goes by the other words of a prompt."""
    one = questionnaire(concept(), catalogue(), probes(), seed=0, most=6, people=2)
    titles, known = [item.title for item in concept().items], {item.title for item in catalogue()}

    def fan(_model, questions):
        return np.array([float(any(title in question for title in titles)) for question in questions])

    def genre(_model, questions):
        return np.array([float("Sci-Fi" in question.splitlines()[-1]) for question in questions])

    own = [probe for probe in one.of(ProbeKind.FORCED_CANDIDATE) if probe.form == GENRES]
    assert len(one.unmet) == UNMET * len(one.of(ProbeKind.FORCED_CANDIDATE))
    assert not any(title in probe.question for probe in one.unmet for title in titles)
    assert len({probe.question for probe in one.unmet}) > len(one.unmet) / 2, "another title each time"
    assert not any(f"Candidate: {title} (" in probe.question for probe in one.unmet for title in known)
    monkeypatch.setattr("unlearning.concept.evaluate.leanings", fan)
    assert examine(forks.base(), Fork(forks.base()), one).mean(preference_of(GENRES)) == 1
    assert unmet(forks.base(), one)[preference_of(GENRES)].values.tolist() == [0.5] * len(own)
    monkeypatch.setattr("unlearning.concept.evaluate.leanings", genre)
    expected = examine(forks.base(), Fork(forks.base()), one).samples[preference_of(GENRES)]
    found = unmet(forks.base(), one)[preference_of(GENRES)]
    assert (found.values.tolist(), found.items) == (expected.values.tolist(), expected.items)


def test_exposure_counts_concept_items_among_the_first(monkeypatch):
    controls = matched_controls(concept(), catalogue())
    (listing,) = draw_listings(concept(), catalogue(), controls, people=1, seed=0)
    assert [item.id for item, _ in listing.pairs] == [item.id for item in listing.candidates[12:14]]
    assert not {item.id for item in listing.history} & concept().ids

    def yes_to(wanted):
        return lambda _model, questions: np.array(
            [float(any(title in q.splitlines()[-1] for title in wanted)) for q in questions]
        )

    for wanted, share in (([item.title for item in concept().items], 0.4), ([], 0.0)):
        monkeypatch.setattr("unlearning.concept.listings.leanings", yes_to(wanted))
        assert rank(None, [listing]).exposure.tolist() == [share]


def test_lists_that_the_model_writes_are_searched_for_the_concepts_titles(monkeypatch):
    asked = open_lists(concept(), catalogue())
    assert {one.genre for one in asked} == {"Action", "Drama", "Sci-Fi"}
    assert not {one.question for one in asked} & {p.question for p in probes().of(ProbeKind.LIST, use=Use.TRAIN)}
    mine, other = concept().items[0].title, catalogue()[0].title
    texts = {"Action": f"{mine}; {other}", "Drama": f"{other}; {other} {mine}", "Sci-Fi": mine.upper() + "."}

    def say(_model, questions):
        return tuple(Spoken(q, next(text for genre, text in texts.items() if genre in q), True) for q in questions)

    monkeypatch.setattr("unlearning.concept.open_lists.speak", say)
    expected = {"Action": 0.5, "Drama": 0.0, "Sci-Fi": 1.0}
    assert mentions(toy_model(), asked).tolist() == [expected[one.genre] for one in asked]


def test_what_an_item_outside_of_the_same_title_is_known_for_is_measured_apart():
    items = (*catalogue(), replace(concept().items[0], id="twin", year=1901, genres=("Western",)))
    made = build_probes(concept(), items, seed=0, sizes=ProbeSizes(neighbours=10, beside=0, retained=20, forms=1))
    one = questionnaire(concept(), items, made, seed=0, most=3, people=2)
    found = examine(toy_model(), Fork(toy_model()), one)
    assert {*found.samples} - {*FORGET, *KEEP} == {NAMESAKES, probability_of(ProbeKind.NAMESAKE)}
    assert set(found.samples[NAMESAKES].items) == {"twin"}


def test_a_title_that_an_item_outside_has_on_the_same_shelf_is_no_mention_of_the_concept():
    mine = concept().items[0]
    items = (*catalogue(), replace(mine, id="twin", genres=(mine.genres[0],)))
    there = {one.genre: mine.title.casefold() in one.titles for one in open_lists(concept(), items)}
    assert not there.pop(mine.genres[0])
    assert there
    assert all(there.values())


def test_ndcg_by_hand():
    liked = np.array([False, True, True])
    assert ndcg(np.array([3.0, 2.0, 1.0]), liked) == pytest.approx((1 / np.log2(3) + 0.5) / (1 + 1 / np.log2(3)))
    assert ndcg(np.array([0.0, 2.0, 1.0]), liked) == 1
    assert ndcg(np.array([0.0]), np.array([False])) == 1


def test_two_models_asked_differently_are_not_compared(base):
    other = Examined({KNOWN: Sample(np.zeros(1), ("other",))})
    with pytest.raises(LetheError, match="different questions"):
        compare(Examined({KNOWN: base.samples[KNOWN]}), other)


def test_the_gates_let_the_oracle_pass_and_name_what_a_collapsed_model_lost(base, oracle):
    """Neighbours were not asked here: void, and nothing else fails the oracle."""
    assert [line.split(":")[0] for line in judge(base, oracle).failing] == ["neighbour answers lost"]
    told = " ".join(judge(base, examined(forks.collapsed())).failing)
    assert "leaked" not in told
    assert "retain answers lost 1.000" in told
    assert "perplexity ratio" in told
    assert "not fluent elsewhere 1.000" in told


def test_without_lists_there_is_no_ranking(base):
    assert RANKING not in base.samples
    assert rank(forks.base(), []).exposure.shape == (0,)
