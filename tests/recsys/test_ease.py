import numpy as np
import pytest

from db.errors import LetheError
from db.records import Split
from recsys import ease
from recsys.ease import EaseFitter, EaseSettings, RefitNeededError, choose_lambda
from recsys.heldout import held_out
from recsys.triangle import BLOCK
from tests.contracts.backbone import ITEMS, USERS, BackboneContract
from tests.recsys.toy import camps, log_of


class TestEase(BackboneContract):
    name = "ease"

    @pytest.fixture(scope="class")
    def fitted(self):
        return EaseFitter(EaseSettings(5.0)).fit(camps(USERS, ITEMS))


def without(log, users):
    return log.take(~np.isin(log.user, users))


def fit(log, regularisation=5.0):
    return EaseFitter(EaseSettings(regularisation)).fit(log)


def distance(a, b):
    return np.abs(a.inverse() - b.inverse()).max()


def test_scores_equal_the_closed_form_by_hand():
    log = log_of([(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 1)], 3, 3)
    x = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0.0]])
    p = np.linalg.inv(x.T @ x + 2.0 * np.eye(3))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    assert fit(log, 2.0).scores(log.histories()) == pytest.approx(x @ b, abs=1e-7)


def test_the_closed_form_solves_the_stated_problem():
    log = camps(30, 12, 5)
    x = np.zeros((30, 12))
    x[log.user, log.item] = 1
    b = np.zeros((12, 12))
    for column in range(12):
        others = np.delete(np.arange(12), column)
        a = x[:, others]
        b[others, column] = np.linalg.solve(a.T @ a + 5.0 * np.eye(11), a.T @ x[:, column])
    assert fit(log).scores(log.histories()) == pytest.approx(x @ b, abs=1e-6)


@pytest.mark.parametrize("gone", [[3], [0, 7, 11], list(range(BLOCK + 8))])
def test_removing_people_equals_a_refit_without_them(gone):
    log = camps(USERS, ITEMS)
    model, oracle = fit(log), fit(without(log, gone))
    assert distance(model, oracle) > 1e-4
    model.remove([log.histories()[u] for u in gone])
    assert distance(model, oracle) < 1e-13
    assert np.abs(model.scores(log.histories()) - oracle.scores(log.histories())).max() < 1e-6


def test_one_by_one_and_all_at_once_agree_and_reads_between_see_every_removal():
    log = camps(USERS, ITEMS)
    gone = list(range(BLOCK + 5))
    single, batch = fit(log), fit(log)
    for done, user in enumerate(gone, 1):
        single.remove([log.histories()[user]])
        if done in (1, BLOCK - 1, BLOCK, BLOCK + 1):
            oracle = fit(without(log, gone[:done]))
            assert single.scores([np.array([0, 1])]) == pytest.approx(oracle.scores([np.array([0, 1])]), abs=1e-6)
    batch.remove([log.histories()[u] for u in gone])
    assert distance(single, batch) < 1e-13
    assert single.updates == batch.updates == len(gone)


def test_forgetting_some_rows_of_people_equals_a_refit_without_those_rows():
    log = camps(USERS, ITEMS)
    dropped = ((log.user == 5) & (log.item % 3 == 0)) | (log.user == 9) | ((log.user == 12) & (log.item < 20))
    kept = log.take(~dropped)
    people = [5, 9, 12]
    model = fit(log)
    model.replace([log.histories()[u] for u in people], [kept.histories()[u] for u in people])
    assert distance(model, fit(kept)) < 1e-13


def test_remove_then_add_is_the_identity():
    log = camps(USERS, ITEMS)
    model = fit(log)
    before = model.inverse()
    model.remove(log.histories()[:3])
    model.add(log.histories()[:3])
    assert np.abs(model.inverse() - before).max() < 1e-13


def test_a_saved_downdate_holds_nothing_of_the_old_matrix(tmp_path):
    log = camps(USERS, ITEMS)
    model = fit(log)
    model.remove([log.histories()[4]])
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    oracle = fit(without(log, [4]))
    assert distance(again, oracle) < 1e-13
    assert again.updates == 1
    assert again._p._lower[np.triu_indices(ITEMS, 1)].tolist() == [0.0] * (ITEMS * (ITEMS - 1) // 2)


def test_a_removal_that_would_lose_digits_asks_for_a_refit_and_changes_nothing():
    log = log_of([(0, 0), (1, 1), (1, 2)], 2, 3)
    model = fit(log, 1e-7)
    before = model.inverse()
    with pytest.raises(RefitNeededError, match="fit EASE again"):
        model.remove([np.array([0])])
    assert np.array_equal(model.inverse(), before)
    assert model.updates == 0


def test_removing_a_row_that_was_never_there_is_caught():
    log = camps(USERS, ITEMS)
    model = fit(log)
    with pytest.raises(RefitNeededError):
        model.remove([np.arange(ITEMS)] * 10)


def test_after_many_updates_a_refit_is_due(monkeypatch):
    monkeypatch.setattr(ease, "MAX_UPDATES", 3)
    log = camps(USERS, ITEMS)
    model = fit(log)
    model.remove(log.histories()[:2])
    before = model.inverse()
    with pytest.raises(RefitNeededError, match="over 3"):
        model.replace(log.histories()[2:3], [np.array([1])])
    assert np.array_equal(model.inverse(), before)


def test_the_spot_check_tells_whose_rows_are_inside():
    log = camps(USERS, ITEMS)
    model = fit(log)
    gone = without(log, [4])
    assert model.residual(log, seed=0) < 1e-13
    assert model.residual(gone, seed=0) > 1e-3
    model.remove([log.histories()[4]])
    assert model.residual(gone, seed=0) < 1e-13
    assert model.residual(log, seed=0) > 1e-3


def test_too_many_items_are_refused_with_the_figure():
    with pytest.raises(LetheError, match=r"40 items needs 0\.0 GB .*lightgcn"):
        EaseFitter(memory=1000).fit(camps(USERS, ITEMS))
    log = log_of([(0, 0)], 1, 200_000)
    with pytest.raises(LetheError, match=r"200,000 items needs 321\.6 GB and 8\.0 GB are free"):
        EaseFitter(memory=8_000_000_000).fit(log)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_regularisation_is_refused(bad):
    with pytest.raises(LetheError, match="above 0"):
        EaseSettings(bad)


def test_lambda_is_chosen_on_validation_by_the_served_path():
    log = camps(200, ITEMS)
    questions = held_out(log, Split.VALID)
    seen = []
    settings, tried = choose_lambda(
        log.only(Split.TRAIN), questions, (1e-3, 20.0, 1e6), progress=lambda done, total: seen.append((done, total))
    )
    assert tried[settings.regularisation] == max(tried.values())
    assert settings.regularisation != 1e-3
    assert seen == [(1, 3), (2, 3), (3, 3)]
