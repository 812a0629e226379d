import numpy as np
import pytest

from tests.unlearning.concept import forks
from tests.unlearning.concept.world import probes
from unlearning.concept.answers import ask, completed
from unlearning.concept.base import ProbeKind, Use
from unlearning.concept.recall import recall


def test_what_is_read_token_by_token_is_what_recall_reads():
    model, asked = forks.base(), [*forks.concept_facts(), *forks.kept_facts(), *probes().of(ProbeKind.LIST).probes[:4]]
    found, whole = ask(model, asked), recall(model, asked)
    np.testing.assert_allclose(found.log_prob, whole.log_prob, atol=1e-5)
    np.testing.assert_array_equal(found.exact, whole.exact)
    np.testing.assert_array_equal(found.lengths, whole.lengths)


def test_extraction_strength_by_hand():
    assert completed(np.array([True, True, True, True])) == 1
    assert completed(np.array([True, True, True, False])) == 0
    assert completed(np.array([False, True, True, True])) == 0.75
    assert completed(np.array([], dtype=bool)) == 0


def test_extraction_is_whole_in_the_base_and_nothing_in_the_oracle():
    assert ask(forks.base(), forks.concept_facts()).extraction.mean() == 1
    assert ask(forks.oracle(), forks.concept_facts()).extraction.mean() < 0.2


def test_the_likeliest_accepted_answer_counts():
    probe = forks.concept_facts(Use.HELD_OUT)[0]
    either = type(probe)(probe.question, ("nonsense", *probe.answers), probe.kind, probe.use)
    assert ask(forks.base(), [either]).log_prob == pytest.approx(ask(forks.base(), [probe]).log_prob)
    assert ask(forks.base(), [either]).exact.tolist() == [1.0]
