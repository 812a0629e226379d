"""What every way to forget at the backbone keeps; a test class inherits it and builds its subject in `unlearner`."""

from pathlib import Path

import numpy as np
import pytest

from recsys.vectors import ItemVectors, fold_vectors
from tests.recsys.toy import camps

USERS, ITEMS = 36, 24
GONE = (3, 8, 21)
"""The people who are forgotten; person 5 forgets some rows only."""
PARTLY = 5


def before():
    """The rows of everybody."""
    return camps(USERS, ITEMS, 6, seed=4)


def after(log):
    """The rows that stay."""
    few = np.flatnonzero(log.user == PARTLY)[:2]
    return log.take(~np.isin(log.user, GONE) & ~np.isin(np.arange(len(log)), few))


def otherwise(log):
    """The same log in which those who are wholly forgotten had met other items."""
    item = np.where(np.isin(log.user, GONE), (log.item + 7) % ITEMS, log.item)
    return type(log)(log.users, log.items, log.user, item, log.timestamp, log.rating, log.split)


def quick_fit(log, seed, dimension=4):
    """A sub-model in a millisecond in which every row and the seed have a say."""
    start = np.random.default_rng(seed).normal(size=(len(log.items), dimension))
    x = np.zeros((len(log.users), len(log.items)))
    x[log.user, log.item] = 1.0
    people = x @ start / np.maximum(1.0, x.sum(axis=1, keepdims=True))
    items = (start + x.T @ people).astype(np.float32)
    return ItemVectors("quick", log.items, items, fold_vectors(log, people, items))


class Spy:
    """A fit that remembers the logs it was given."""

    def __init__(self, fit):
        self.fit = fit
        self.logs = []

    def __call__(self, log, *seed):
        self.logs.append(log)
        return self.fit(log, *seed)


def pairs(log):
    return set(zip(log.user.tolist(), log.item.tolist(), strict=True))


def tensors(model):
    """Everything a model would write, by file and name."""
    histories = [np.array([0, 2]), np.array([1, 4, 5]), np.arange(ITEMS)]
    found = {name: np.array(t) for name, t in vars(model).items() if isinstance(t, np.ndarray)}
    return {**found, "scores": model.scores(histories)}


def same(one, other, tolerance=0.0):
    a, b = tensors(one), tensors(other)
    return all(np.allclose(a[key], b[key], rtol=0.0, atol=tolerance) for key in a) and a.keys() == b.keys()


class UnlearnerContract:
    """Conformance suite; `unlearner(fit)` builds the subject around a fit."""

    name: str
    exact: bool
    """Whether the outcome is that of a fit without the rows."""
    keeps_model = False
    """Whether the model is kept as it is: only of shielding and of the control."""
    tolerance = 0.0
    """For methods that are exact within rounding."""
    fit = staticmethod(quick_fit)

    def unlearner(self, fit):
        raise NotImplementedError

    @pytest.fixture
    def spy(self):
        return Spy(self.fit)

    @pytest.fixture
    def subject(self, spy):
        return self.unlearner(spy)

    def test_its_name(self, subject):
        assert subject.name == self.name

    def test_equal_arguments_give_equal_models(self, subject):
        log = before()
        once, again = (subject.fit(log, seed=1) for _ in range(2))
        assert same(once, again)
        first, second = (subject.forget(m, log, after(log), seed=2) for m in (once, again))
        assert same(first.model, second.model)
        assert (first.exact, first.facts) == (second.exact, second.facts)

    def test_where_nothing_is_forgotten_the_model_stays_bit_for_bit_and_nothing_is_fitted(self, subject, spy):
        log = before()
        model, untouched = subject.fit(log, seed=1), subject.fit(log, seed=1)
        spy.logs.clear()
        done = subject.forget(model, log, log.take(np.ones(len(log), dtype=bool)), seed=2)
        assert same(done.model, untouched)
        assert done.exact
        assert spy.logs == []

    def test_a_forgotten_row_never_reaches_a_fit(self, subject, spy):
        log = before()
        model = subject.fit(log, seed=1)
        gone = pairs(log) - pairs(after(log))
        assert any(pairs(given) & gone for given in spy.logs)
        spy.logs.clear()
        subject.forget(model, log, after(log), seed=2)
        assert not any(pairs(given) & gone for given in spy.logs)

    def test_it_says_whether_it_is_exact_and_how_many_rows_went(self, subject):
        log = before()
        done = subject.forget(subject.fit(log, seed=1), log, after(log), seed=2)
        assert done.exact is self.exact
        assert done.facts["rows"] == len(log) - len(after(log))

    def test_what_the_forgotten_rows_were_makes_no_difference_to_an_exact_outcome(self, subject):
        """And it did make one before; a kept model is still different afterwards."""
        log, other = before(), otherwise(before())
        models = [subject.fit(given, seed=1) for given in (log, other)]
        assert not same(*models, self.tolerance)
        made = [
            subject.forget(model, given, given.take(~np.isin(given.user, GONE)), seed=2).model
            for model, given in zip(models, (log, other), strict=True)
        ]
        if self.exact:
            assert same(*made, self.tolerance)
        if self.keeps_model:
            assert not same(*made)

    def test_items_keep_their_rows_and_scores_are_finite(self, subject):
        log = before()
        made = subject.forget(subject.fit(log, seed=1), log, after(log), seed=2).model
        assert made.items == log.items
        assert np.isfinite(made.scores([np.array([1, 2]), np.array([0])])).all()

    def test_the_outcome_is_saved_and_loaded_as_it_is(self, subject, tmp_path: Path):
        log = before()
        made = subject.forget(subject.fit(log, seed=1), log, after(log), seed=2).model
        made.save(tmp_path)
        assert same(type(made).load(tmp_path), made)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.parquet", "item.safetensors"]

    def test_requests_can_follow_one_another(self, subject):
        log = before()
        model, rows = subject.fit(log, seed=1), log
        for seed, person in enumerate(GONE, start=2):
            fewer = rows.take(rows.user != person)
            model, rows = subject.forget(model, rows, fewer, seed=seed).model, fewer
        assert not np.isin(rows.user, GONE).any()
        assert np.isfinite(model.scores([np.array([1])])).all()

    def test_progress_ends_at_the_total(self, subject):
        log, heard = before(), []
        subject.fit(log, seed=1, progress=lambda done, total: heard.append((done, total)))
        assert heard
        assert heard[-1][0] == heard[-1][1]

    def test_rows_of_other_items_or_more_rows_than_before_are_refused(self, subject):
        log = before()
        model = subject.fit(log, seed=1)
        foreign = type(log)(log.users, log.items[::-1], log.user, log.item, log.timestamp, log.rating, log.split)
        with pytest.raises(ValueError, match=r"before\.take"):
            subject.forget(model, log, foreign, seed=2)
        with pytest.raises(ValueError, match="rows after forgetting"):
            subject.forget(model, after(log), log, seed=2)


class ExactContract(UnlearnerContract):
    """What exact methods keep beside that."""

    exact = True

    def oracle(self, unlearner, log):
        """The model of `log` that the outcome must equal; by default fitted from scratch with the fresh seed."""
        return unlearner.fit(log, seed=2)

    def test_the_outcome_is_the_oracle(self, subject):
        log = before()
        model = subject.fit(log, seed=1)
        assert not same(model, self.oracle(subject, after(log)), self.tolerance)
        made = subject.forget(model, log, after(log), seed=2).model
        assert same(made, self.oracle(subject, after(log)), self.tolerance)
