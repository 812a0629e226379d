import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.model.general_recommender.lightgcn import LightGCN as Upstream

from db.errors import LetheError
from db.records import Split
from recsys.heldout import held_out, served
from recsys.negatives import NegativeSampler
from recsys.popularity import PopularityFitter
from recsys.recbole_models import (
    BPR_SETTINGS,
    LIGHTGCN_SETTINGS,
    LightGCN,
    RecBoleFitter,
    TrainSettings,
    _Batches,
    _config,
    _LogDataset,
)
from tests.contracts.backbone import ITEMS, USERS, BackboneContract
from tests.recsys.toy import camps, log_of

SMALL = {"dimension": 8, "batch": 64, "epochs": 20, "learning_rate": 0.05}
BPR = replace(BPR_SETTINGS, **SMALL)
LIGHTGCN = replace(LIGHTGCN_SETTINGS, **SMALL)


def fit(settings, seed=1, log=None, **more):
    return RecBoleFitter(settings).fit(log or camps(USERS, ITEMS), seed=seed, **more)


class TestBPR(BackboneContract):
    name = "bpr"

    @pytest.fixture(scope="class")
    def fitted(self):
        return fit(BPR).backbone


class TestLightGCN(BackboneContract):
    name = "lightgcn"

    @pytest.fixture(scope="class")
    def fitted(self):
        return fit(LIGHTGCN).backbone


def test_lightgcns_loss_and_gradients_are_recboles():
    """Rows taken more than once count as often in the penalty, which weighs much here."""
    log = camps(USERS, ITEMS)
    settings = replace(LIGHTGCN, regularisation=0.5, batch=len(log))
    config = _config(settings, 1, torch.device("cpu"))
    dataset = _LogDataset(config, log)
    model = LightGCN(config, dataset)
    (batch,) = _Batches(dataset.inter_feat, NegativeSampler(log, 1), settings.batch, 1)
    found = []
    for loss_of in (LightGCN.calculate_loss, Upstream.calculate_loss):
        model.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        found.append((loss.detach().sum(), *(table.grad.clone() for table in model.parameters())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("settings", [BPR, LIGHTGCN], ids=lambda s: s.model)
def test_training_beats_popularity_and_an_untrained_model(settings):
    log = camps(120, ITEMS, 12)
    train, questions = log.only(Split.TRAIN), held_out(log, Split.TEST)
    untrained = fit(replace(settings, epochs=1, learning_rate=1e-9), log=train).backbone
    popular = PopularityFitter().fit(train)
    trained = served(fit(settings, log=train).backbone, questions, 10).ndcg.mean()
    assert trained > 1.2 * served(popular, questions, 10).ndcg.mean()
    assert trained > 1.2 * served(untrained, questions, 10).ndcg.mean()


@pytest.mark.parametrize("settings", [BPR, LIGHTGCN], ids=lambda s: s.model)
def test_the_seed_decides_everything_and_random_states_outside_are_untouched(settings):
    few = replace(settings, epochs=2)
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = fit(few, seed=1).backbone
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    np.random.seed(99)
    again, other = fit(few, seed=1).backbone, fit(few, seed=2).backbone
    assert np.array_equal(first.item_vectors, again.item_vectors)
    assert np.array_equal(first.fold_vectors, again.fold_vectors)
    assert not np.allclose(first.item_vectors, other.item_vectors)


def test_training_leaves_nothing_behind(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lethe", "train", "--epochs=1", "--learning_rate=__import__('os').abort()"])
    before = sorted(tmp_path.rglob("*")), dict(os.environ), {n for n in vars(np) if n.startswith(("float", "bool"))}
    log = camps(USERS, ITEMS)
    fit(replace(LIGHTGCN, epochs=3), log=log.only(Split.TRAIN), validation=held_out(log, Split.VALID))
    assert (
        sorted(tmp_path.rglob("*")),
        dict(os.environ),
        {n for n in vars(np) if n.startswith(("float", "bool"))},
    ) == before
    assert sys.argv[2] == "--epochs=1"


def test_saving_writes_no_pickle(tmp_path):
    fit(replace(BPR, epochs=1)).backbone.save(tmp_path)
    for path in tmp_path.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK"))
        assert Path(path).suffix in {".safetensors", ".parquet"}


def test_with_validation_the_best_epoch_is_kept_and_training_stops_early():
    log = camps(USERS, ITEMS)
    train, questions = log.only(Split.TRAIN), held_out(log, Split.VALID)
    settings = replace(BPR, epochs=200, evaluate_every=2, patience=2)
    heard = []
    got = fit(settings, log=train, validation=questions, progress=lambda done, total: heard.append((done, total)))
    best = max(value for _, value in got.curve)
    assert dict(got.curve)[got.epoch] == best
    assert served(got.backbone, questions, 10).ndcg.mean() == pytest.approx(best)
    assert got.epoch < got.curve[-1][0] == len(heard) < 200
    assert heard[0] == (1, 200)


def test_without_validation_exactly_n_epochs_are_run_and_equal_those_of_a_validated_run():
    log = camps(USERS, ITEMS).only(Split.TRAIN)
    questions = held_out(camps(USERS, ITEMS), Split.VALID)
    heard, states = [], {}
    fit(
        replace(BPR, epochs=6, evaluate_every=2),
        log=log,
        validation=questions,
        watch=lambda epoch, users, items: states.update({epoch: items}),
    )
    plain = fit(replace(BPR, epochs=4), log=log, progress=lambda done, total: heard.append(done))
    assert heard == [1, 2, 3, 4]
    assert (plain.epoch, plain.curve) == (4, ())
    assert np.array_equal(plain.backbone.item_vectors, states[4])


def test_items_nobody_met_and_people_without_rows_are_no_trouble():
    log = log_of([(0, 0), (0, 1), (2, 1), (2, 2)] * 3, 4, 6)
    for settings in (BPR, LIGHTGCN):
        model = fit(replace(settings, epochs=2), log=log).backbone
        (found,) = model.candidates([np.array([0, 1])], [np.array([0, 1])], 10)
        assert sorted(found.rows.tolist()) == [2, 3, 4, 5]


def test_who_has_met_the_whole_catalogue_does_not_stop_training():
    log = log_of([(0, i) for i in range(4)] + [(1, 0)], 2, 4)
    assert fit(replace(BPR, epochs=1), log=log).epoch == 1


@pytest.mark.parametrize(
    "bad", [{"model": "ngcf"}, {"epochs": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"patience": 0}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(LetheError):
        replace(BPR_SETTINGS, **bad)


def test_an_unknown_setting_is_impossible():
    with pytest.raises(TypeError, match="learning_rat"):
        TrainSettings("bpr", epochs=1, learning_rat=0.1)


def test_an_empty_log_is_refused():
    log = camps(USERS, ITEMS)
    with pytest.raises(LetheError, match="ingest"):
        RecBoleFitter(BPR).fit(log.take(np.zeros(len(log), dtype=bool)), seed=1)


def test_recbole_still_cannot_be_used_as_it_comes():
    """When this fails, RecBole no longer asks for names that numpy 2 and scipy dropped: take `supply_dropped_names`
    out of benchmarks/recbole_default.py, and `get_norm_adj_mat` out of the bridge if upstream's is as fast."""
    package = Path(importlib.util.find_spec("recbole").origin).parent
    config = (package / "config" / "configurator.py").read_text()
    model = (package / "model" / "general_recommender" / "lightgcn.py").read_text()
    assert all(f"np.{name}_\n" in config for name in ("float", "complex", "unicode"))
    assert "A._update(" in model
