from dataclasses import replace

import pytest
import torch

from llm.prompt import UNKNOWN_TITLE
from tests.llm.toys import toy_model
from tests.unlearning.concept.world import probes, toy_lesson
from unlearning.concept.aliases import unknown_turns
from unlearning.concept.base import ProbeKind, ProbeSet, Use
from unlearning.concept.hands import Deck
from unlearning.concept.judgement import leanings
from unlearning.concept.losses import excess, kept_kl, log_softmax
from unlearning.concept.objective import Teacher
from unlearning.concept.probes import taught_instead
from unlearning.concept.rows import answer_states, encode_rows, logits_of, one_batch
from unlearning.concept.settings import ConceptSettings, LossName, Sparing
from unlearning.concept.study import Part, alike, base_log_probs, replacements, study


def test_what_the_base_says_is_kept_as_states_from_which_its_distribution_follows():
    model = toy_model()
    read = study(model, toy_lesson(), LossName.ALTERNATE, seed=0)
    for unit in (0, read.units_of(Part.JUDGED)[0]):
        batch = one_batch(read.kept[unit], model.device)
        with torch.inference_mode():
            now = log_softmax(logits_of(model, answer_states(model, batch)))
            kept = torch.cat([read.kept_base[unit][number] for number in batch.rows])
            assert torch.allclose(log_softmax(logits_of(model, kept)), now, atol=1e-4)
    assert read.own_base.tolist() == pytest.approx(base_log_probs(model, read.own).tolist(), abs=1e-4)
    assert len(read.taught_base) == len(read.taught) == len(read.own)


def test_a_disguised_question_is_to_be_answered_as_under_a_title_that_does_not_exist():
    model = toy_model()
    taught = toy_lesson()
    read = study(model, taught, LossName.REFUSAL, seed=0)
    (unit,) = read.units_of(Part.UNKNOWN_JUDGED)
    asked = one_batch(read.kept[unit], model.device)
    with torch.inference_mode():
        now = log_softmax(logits_of(model, answer_states(model, asked)))
        base = log_softmax(logits_of(model, torch.cat([read.kept_base[unit][number] for number in asked.rows])))
    assert kept_kl(now, base) > 1e-3  # the base knows the titles apart
    assert {read.parts.count(part) for part in Part} > {1}


def test_at_the_start_only_disguised_questions_are_away_from_the_base():
    model = toy_model()
    lesson = toy_lesson()
    plain = type(lesson)(lesson.concept, lesson.probes, lesson.judged)
    settings = ConceptSettings(forget_rows=2, retain_rows=4, retain=1.0, loss=LossName.ASCENT)
    read = study(model, plain, settings.loss, seed=0)
    teacher = Teacher(model, read, settings, seed=0)
    own = [read.own[pair] for pair in teacher.hand(0).pairs]
    ascent = base_log_probs(model, own).sum() / sum(len(row.answer) for row in own)
    assert float(teacher.loss(0)) == pytest.approx(float(ascent), abs=1e-4)


def test_what_is_unknown_is_asked_under_another_title_with_the_same_tokens_to_predict():
    titles = {item.id: item.title for item in toy_lesson().concept.items}
    facts = probes().of(ProbeKind.DIRECT, use=Use.TRAIN).probes
    asked = (*facts, replace(facts[0], answers=(f"{titles[facts[0].item]} is a movie.",)))
    pairs = list(unknown_turns(asked, toy_lesson().concept))
    assert len(pairs) == len(asked)
    for probe, (mine, other) in zip(asked, pairs, strict=True):
        assert mine.question == probe.question
        assert mine.begun + mine.answer == probe.answers[0]
        assert (other.answer, bool(other.begun)) == (mine.answer, bool(mine.begun))
        assert titles[probe.item] not in other.question + other.begun + other.answer
        assert probe.alias in other.question
    assert [mine.begun for mine, _ in pairs] == [""] * len(facts) + [titles[facts[0].item]]


def _with_a_namesake():
    """The toy lesson, in which every other fact of a concept item is known of a namesake too."""
    lesson = toy_lesson()
    told = [
        replace(probe, namesake="1901") if number % 2 and probe.kind is ProbeKind.DIRECT else probe
        for number, probe in enumerate(lesson.probes)
    ]
    return replace(lesson, probes=ProbeSet(tuple(told)))


def test_what_a_namesake_is_known_for_is_taught_and_no_refusal_beside_it():
    model, taught = toy_model(), _with_a_namesake()
    settings = ConceptSettings(forget_rows=2, retain_rows=4, unknown_rows=32, loss=LossName.BOUNDED_ASCENT)
    read = study(model, taught, settings.loss, seed=0)
    named = [probe for probe in taught.probes.forgotten(Use.TRAIN) if probe.namesake]
    assert named
    assert {taught_instead(probe) for probe in named} == {"1901"}
    said = replacements(named, list(taught.probes.kept(Use.TRAIN)), settings.loss, seed=0)
    assert said == ["1901"] * len(named)
    assert {read.parts[unit] for unit in read.known} == {Part.UNKNOWN_FACT}
    asked = encode_rows(model, [turn for turn, _ in unknown_turns(named, taught.concept)])
    said = model.encode(["1901"])[0]
    begun = [alike(row.answer, said) for row in asked]
    assert 0 < max(begun) < len(said)
    expected = [row.past(count) for row, count in zip(asked, begun, strict=True)]
    assert {read.kept[unit][0] for unit in read.known} == {*expected}

    hand = Teacher(model, read, settings, seed=0).hand(0)
    answered = [read.kept[unit][0] for unit in hand.units if unit in read.known]
    assert answered
    assert list(hand.rows[hand.unknown.start : hand.refused.start]) == answered
    assert hand.refused.stop == hand.unknown.stop
    assert not {*hand.rows[hand.refused]} & {*answered}


def test_where_a_namesake_answers_everything_nothing_is_held_to_a_title_that_does_not_exist():
    model, lesson = toy_model(), toy_lesson()
    named = [replace(probe, namesake="1901") if not probe.kept else probe for probe in lesson.probes]
    taught = replace(lesson, probes=ProbeSet(tuple(named)), disguised=())
    settings = ConceptSettings(forget_rows=2, retain_rows=4, loss=LossName.REFUSAL)
    teacher = Teacher(model, read := study(model, taught, settings.loss, seed=0), settings, seed=0)
    rows = [read.taught[pair] for pair in teacher.hand(0).pairs]
    taught_alone = -base_log_probs(model, rows).sum() / sum(len(row.answer) for row in rows)
    assert float(teacher.loss(0)) == pytest.approx(float(taught_alone), abs=1e-4)


def test_without_a_namesake_every_unknown_row_is_refused():
    model, settings = toy_model(), ConceptSettings(forget_rows=2, retain_rows=4, loss=LossName.BOUNDED_ASCENT)
    hand = Teacher(model, study(model, toy_lesson(), settings.loss, seed=0), settings, seed=0).hand(0)
    assert hand.refused == hand.unknown


def test_only_a_refusal_has_unknown_rows_beside_it():
    model = toy_model()
    for loss, unknown in ((LossName.REFUSAL, 3), (LossName.BOUNDED_ASCENT, 3), (LossName.NPO, 0)):
        settings = ConceptSettings(forget_rows=2, retain_rows=4, unknown_rows=3, loss=loss)
        hand = Teacher(model, study(model, toy_lesson(), loss, seed=0), settings, seed=0).hand(0)
        parts = [hand.own, hand.taught, hand.kept, hand.unknown]
        assert [part.stop for part in parts[:-1]] == [part.start or 0 for part in parts[1:]]
        judged = 4 if unknown else 0  # two candidates, each told twice
        assert len(hand.rows[hand.unknown]) == unknown + judged
        assert (hand.unknown_facts.start, len(hand.rows[hand.unknown_facts])) == (hand.unknown.start, unknown)


def test_true_answers_pull_as_far_as_they_are_likelier_than_under_a_title_that_does_not_exist():
    model = toy_model()
    read = study(model, toy_lesson(), LossName.REFUSAL, seed=0)
    settings = ConceptSettings(forget_rows=2, retain_rows=4, unknown_rows=3, excess=2.0, below=0.5)
    without, twice = (
        Teacher(model, read, replace(settings, loss=loss), seed=0).loss(0).item()
        for loss in (LossName.REFUSAL, LossName.BOUNDED_ASCENT)
    )
    hand = Teacher(model, read, settings, seed=0).hand(0)
    rows = hand.rows[hand.unknown_facts]
    states = [state for unit in hand.units for state in read.kept_base[unit]][
        hand.unknown_facts.start - hand.kept.start :
    ]
    asked = one_batch(rows, model.device)
    with torch.inference_mode():
        now = log_softmax(logits_of(model, answer_states(model, asked)))
        other = log_softmax(logits_of(model, torch.cat([states[number] for number in asked.rows])))
        wanted = excess(now, other, asked.targets).item()
    assert wanted > 0
    # no adapter acts, so that its lower layers leave the same excess as the whole
    assert twice - without == pytest.approx((2 + 0.5) * wanted, rel=1e-3)


def test_judgements_pull_where_an_item_is_favoured_more_than_a_title_that_does_not_exist_and_where_others_stray():
    model, taught = toy_model(), toy_lesson()
    read = study(model, taught, LossName.BOUNDED_ASCENT, seed=0)
    settings = ConceptSettings(forget_rows=2, retain_rows=4, unknown_rows=3)
    teachers = [Teacher(model, read, settings, seed=0, sparing=Sparing(leaning=weight)) for weight in (3.0, 0.0)]
    ((asked, other),) = taught.disguised
    hand = teachers[0].hand(0)
    assert list(hand.rows[hand.unknown_judged]) == list(read.kept[read.units_of(Part.UNKNOWN_JUDGED)[0]])
    judged = next(unit for unit in hand.units if read.parts[unit] is Part.JUDGED)
    assert list(hand.rows[hand.judged]) == list(read.kept[judged])
    person = taught.judged[read.units_of(Part.JUDGED).index(judged)]
    questions = [[one.prefix + suffix for suffix in one.suffixes] for one in (asked, other, person)]
    unknown, before = leanings(model, questions[1]), leanings(model, questions[2])
    for changed in (False, True):
        if changed:
            with torch.no_grad():
                model.model.get_decoder().layers[0].mlp.down_proj.weight.mul_(-2)
        favoured = (leanings(model, questions[0]) - unknown).clip(min=0).mean()
        strayed = abs(leanings(model, questions[2]) - before).mean()
        assert favoured > 0
        assert bool(strayed > 0) is changed
        pulled, without = (teacher.loss(0).item() for teacher in teachers)
        assert pulled - without == pytest.approx(3 * (favoured + strayed), rel=1e-2)


def test_each_loss_teaches_its_own_replacement():
    forgotten = toy_lesson().probes.of(ProbeKind.DIRECT, use=Use.TRAIN).probes
    kept = toy_lesson().probes.kept(Use.TRAIN).probes
    assert set(replacements(forgotten, kept, LossName.REFUSAL, seed=0)) == {UNKNOWN_TITLE}
    others = replacements(forgotten, kept, LossName.ALTERNATE, seed=0)
    assert all(text not in probe.answers for probe, text in zip(forgotten, others, strict=True))
    known = [place for place, probe in enumerate(forgotten) if probe.alternates]
    assert known
    assert [others[place] for place in known] == [forgotten[place].alternates[0] for place in known]
    drawn = replacements(forgotten, kept, LossName.RANDOM_LABELS, seed=0)
    assert all(text not in probe.answers for probe, text in zip(forgotten, drawn, strict=True))
    assert drawn == replacements(forgotten, kept, LossName.RANDOM_LABELS, seed=0)


def test_a_deck_hands_out_everything_once_before_anything_comes_again():
    deck = Deck(7, 3, [0])
    handed = [number for step in range(7) for number in deck.hand(step)]
    assert [sorted(handed[start : start + 7]) for start in (0, 7, 14)] == [list(range(7))] * 3
    assert deck.hand(4) == Deck(7, 3, [0]).hand(4)
    assert Deck(0, 3, [0]).hand(0) == []
