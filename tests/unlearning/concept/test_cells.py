import math

import numpy as np
import pytest

from db.errors import LetheError
from unlearning.concept.cells import Sample, cell, difference


def sample(values, items=None):
    return Sample(np.array(values, dtype=float), tuple(items or map(str, range(len(values)))))


def test_base_has_forgotten_nothing_and_the_oracle_all():
    base, oracle = sample([1.0] * 20), sample([0.0] * 19 + [1.0])
    assert cell("memory", base, base, oracle).forgotten == 0
    assert cell("memory", base, oracle, oracle).forgotten == 1
    assert cell("memory", base, oracle, oracle).gap.mean == 0


def test_a_cell_tells_only_where_base_and_oracle_differ():
    rng = np.random.default_rng(0)
    level, other = sample(rng.random(40)), sample(rng.random(40))
    found = cell("memory", level, level, other)
    assert not found.tells
    assert math.isnan(found.forgotten)
    assert str(found) == "memory: cannot tell"
    assert cell("memory", sample(level.values + 1), level, other).tells


def test_without_an_oracle_a_cell_cannot_tell_but_says_what_changed():
    found = cell("retain", sample([1.0] * 10), sample([0.5] * 10))
    assert not found.tells
    assert found.change.mean == -0.5
    assert found.change.excludes_zero


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(0.3, 1.0, 400)
    found = difference(sample(values), sample(np.zeros(400)))
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_wordings_of_one_item_count_as_one():
    """Ten items asked forty times each: the interval is as wide as for ten values."""
    by_item = np.random.default_rng(2).normal(0.0, 1.0, 10)
    repeated = sample(np.repeat(by_item, 40), [str(n) for n in range(10) for _ in range(40)])
    wide = difference(repeated, sample(np.zeros(400), repeated.items))
    once = difference(sample(by_item), sample(np.zeros(10)))
    assert wide.high - wide.low == pytest.approx(once.high - once.low, rel=0.1)


def test_a_single_question_cannot_tell_and_none_is_no_number():
    assert not difference(sample([1.0]), sample([0.0])).excludes_zero
    assert math.isnan(difference(sample([]), sample([])).mean)


def test_different_questions_are_refused():
    with pytest.raises(LetheError, match="different questions"):
        difference(sample([1.0, 0.0]), sample([1.0, 0.0], ["a", "b"]))
