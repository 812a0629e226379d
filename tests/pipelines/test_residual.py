"""Residual preference: who is asked about, what is trained on, what is kept, and when it means nothing."""

import numpy as np
import polars as pl
import pytest

from pipelines.drift import page, residual
from pipelines.drift.requests import Asking, people_drawn
from pipelines.drift.residual import AGAIN, ALONE, BASE, MODELS, WITH, WITHOUT, told
from pipelines.evaluate.guard import LeakError
from tests.pipelines.drifting import data, lab_of
from unlearning.data import taste
from unlearning.data.taste import TasteSettings

SETTINGS = TasteSettings(rank=2, rate=1e-2, steps=2, people=2, pairs=2, length=4)
ASKING = Asking(people=3, requests=1, candidates=4)


def test_those_asked_about_are_in_the_first_training_and_in_none_of_the_rebuilt(tmp_path, monkeypatch):
    trained = []
    real = taste.taught

    def _spying(model, people, settings, **given):
        trained.append((set(people), given["seed"]))
        return real(model, people, settings, **given)

    monkeypatch.setattr(residual, "taught", _spying)
    made, lab = data(), lab_of(tmp_path, ASKING)
    rows = residual.residual(lab, made, SETTINGS)
    everyone = taste.tastes(made.log.only("train"), made.items, seed=0)
    asked = {everyone[row] for row in people_drawn(made.log.only("train").histories(), ASKING)}
    (with_them, first), (without, second), (again, third), (alone, _) = trained
    assert alone == asked < with_them == set(everyone)
    assert without == again == set(everyone) - asked
    assert len({first, second, third}) == 3
    assert rows.height == len(MODELS) * 2 * 3
    assert residual.residual(lab, made, SETTINGS).equals(rows)
    assert len(trained) == 4, "what is kept is not measured again"


def test_held_out_rows_are_refused(tmp_path, monkeypatch):
    made = data()
    monkeypatch.setattr(type(made.log), "only", lambda log, *splits: log)
    with pytest.raises(LeakError, match="adapter data"):
        residual.residual(lab_of(tmp_path, ASKING), made, SETTINGS)


def frame(**gaps):
    rows = [
        {"person": person, "model": model, "asked": asked, "gap": value}
        for asked in residual.ASKED
        for model in MODELS
        for person, value in enumerate(gaps.get(model, [0.0, 0.0, 0.0]))
    ]
    return pl.DataFrame(rows)


def test_differences_by_hand_and_a_control_that_is_not_found():
    gaps = {WITH: [1.0, 2.0, 3.0], WITHOUT: [0.5, 1.0, 1.5], AGAIN: [0.5, 1.0, 1.2], ALONE: [2.5, 3.0, 3.5]}
    own, bare = told(frame(**gaps), seed=0)
    assert (own["asked"], bare["asked"]) == ("own history", "no history")
    assert own["taken"]["mean"] == pytest.approx(1.0)
    assert own["left"]["mean"] == pytest.approx(0.1)
    assert own["found"]["mean"] == pytest.approx(2.0)
    assert own["models"][BASE]["mean"] == 0
    assert own["tells"] is True
    void = told(frame(**{**gaps, ALONE: gaps[WITHOUT]}), seed=0)[0]
    assert void["tells"] is False
    text = page._residual(void)
    assert "cannot tell memory here" in text
    assert np.isfinite(void["left"]["low"])
    assert "cannot tell" not in page._residual(replaced(void, tells=True))


def replaced(found, **changes):
    return {**found, **changes}
