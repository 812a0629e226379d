import numpy as np
import pytest

from db.errors import LetheError
from unlearning.concept.base import ProbeKind
from unlearning.concept.cells import Sample
from unlearning.concept.evaluate import SAID, SAID_ELSEWHERE, TEXT, Examined, accuracy_of, probability_of
from unlearning.concept.gates import ASKED, Gates, judge


def examined(**changes):
    """A base that knows everything, with some measures changed."""
    kinds = (*ASKED, ProbeKind.RETAIN, ProbeKind.NEIGHBOUR)
    figures = {measure(kind): 1.0 for kind in kinds for measure in (accuracy_of, probability_of)}
    figures |= {TEXT: 0.5, SAID: 1.0, SAID_ELSEWHERE: 1.0} | changes
    return Examined(
        {name: Sample(np.full(10, value), ("1",) * 10) for name, value in figures.items() if value is not None}
    )


def forgotten(**changes):
    gone = {measure(kind): 0.0 for kind in ASKED for measure in (accuracy_of, probability_of)}
    return examined(**(gone | changes))


def test_all_forgotten_and_nothing_lost_passes():
    assert judge(examined(), forgotten()).passed
    assert judge(examined(), forgotten()).failing == ()


def test_the_base_itself_fails_by_its_leak():
    found = judge(examined(), examined())
    assert not found.passed
    assert [line.split(" 1.000")[0] for line in found.failing] == ["leaked answers", "leaked probability"]


@pytest.mark.parametrize(
    ("measure", "value", "told"),
    [
        (accuracy_of(ProbeKind.REVERSED), 0.06, "leaked answers 0.060, allowed 0.050 (worst of the kinds: reversed)"),
        (probability_of(ProbeKind.LIST), 0.2, "leaked probability 0.200, allowed 0.100 (worst of the kinds: list)"),
        (accuracy_of(ProbeKind.RETAIN), 0.98, "retain answers lost 0.020, allowed 0.010 (base 1.000)"),
        (accuracy_of(ProbeKind.NEIGHBOUR), 0.9, "neighbour answers lost 0.100, allowed 0.020 (base 1.000)"),
        (TEXT, 0.6, "perplexity ratio 1.105, allowed 1.050 (base 0.500)"),
        (SAID, 0.0, "not fluent on the concept 1.000, allowed 0.050 (base 1.000)"),
        (SAID_ELSEWHERE, 0.5, "not fluent elsewhere 0.500, allowed 0.050 (base 1.000)"),
    ],
)
def test_a_single_figure_over_its_threshold_fails_and_is_named(measure, value, told):
    assert judge(examined(), forgotten(**{measure: value})).failing == (told,)


def test_a_base_that_never_knew_the_concept_voids_the_leak():
    found = judge(forgotten(), forgotten())
    assert not found.passed
    assert all("void, the base hardly knows the concept" in line for line in found.failing)


def test_what_was_not_asked_is_void_and_never_passed():
    gone = {accuracy_of(ProbeKind.NEIGHBOUR): None}
    found = judge(examined(**gone), forgotten(**gone))
    assert found.failing == ("neighbour answers lost: void, nothing to compare with (nan in the base)",)


def test_gates_may_be_set_and_refuse_nonsense():
    assert judge(examined(), forgotten(**{accuracy_of(ProbeKind.LIST): 0.3}), Gates(leaked=0.4, known=0.5)).passed
    with pytest.raises(LetheError, match="let the leak be the smaller"):
        Gates(leaked=0.5)


def test_the_oracle_stands_beside_the_leak():
    leak, *_ = judge(examined(), forgotten(), oracle=forgotten(**{accuracy_of(ProbeKind.DIRECT): 0.02})).verdicts
    assert leak.oracle == pytest.approx(0.02)
