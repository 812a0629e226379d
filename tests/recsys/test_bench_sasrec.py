"""RecBole's SASRec beside the generative recommender: it is asked what we ask, and windows ask what prefixes do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.recbole_default import configured, elsewhere
from benchmarks.recbole_sasrec import PREFIXES, WINDOWS, Asked, Budget, _everywhere, _prepared, _Windows, run
from recsys.heldout import last_out
from tests.recsys.toy import camps

pytestmark = pytest.mark.filterwarnings("ignore::Warning")

SMALL = {"MAX_ITEM_LIST_LENGTH": 6, "hidden_size": 8, "inner_size": 8, "train_batch_size": 64}


@pytest.fixture(scope="module")
def asked() -> Asked:
    log = camps(30, 20, 8)
    rest, test = last_out(log)
    return Asked(log, *last_out(rest), test)


@pytest.fixture(scope="module")
def held(asked):
    """RecBole's configuration and rows, and a model of ours; ids are RecBole's."""
    with elsewhere() as folder:
        config, dataset, _ = _prepared(folder, asked, {"seed": 1, **SMALL})
    torch.manual_seed(1)
    ids = dataset.token2id("item_id", [str(row) for row in range(20)])
    return _everywhere()(config, dataset).eval(), dataset, np.array(ids)


@pytest.mark.parametrize("how", [WINDOWS, PREFIXES])
def test_it_is_trained_judged_and_says_what_ended_it(asked, how):
    found = run(asked, how, SMALL, seed=1, budget=Budget(epochs=2, evaluate_every=1))
    assert (found["limited_by"], len(found["curve"])) == ("2 epochs", 2)
    assert found["valid"] == max(score for _, score in found["curve"])
    assert 0 <= found["ndcg@10"] <= found["hit_rate@10"] <= 1
    assert run(asked, how, SMALL, seed=1, budget=Budget(seconds=0.0))["limited_by"] == "0 s of the processor"


def test_rows_that_recbole_would_hold_out_otherwise_are_refused(asked):
    swapped = [history[::-1] for history in asked.test.histories]
    with elsewhere() as folder, pytest.raises(ValueError, match="other items"):
        _prepared(folder, replace(asked, test=replace(asked.test, histories=swapped)), {"seed": 1, **SMALL})


def test_recboles_own_settings_are_those_of_its_table():
    with elsewhere():
        config = configured("SASRec", {"train_neg_sample_args": None})
    told = [config[name] for name in ("hidden_size", "n_layers", "n_heads", "inner_size", "hidden_dropout_prob")]
    assert (told, config["loss_type"], config["MAX_ITEM_LIST_LENGTH"]) == ([64, 2, 2, 256, 0.5], "CE", 50)


def test_a_window_asks_at_every_position_what_its_prefixes_ask(held, asked):
    model, _, ids = held
    (batch, *_) = _Windows(model, asked.train, ids, 0)
    read, wanted = batch["item_id_list"], batch["item_id"]
    assert torch.equal(read[:, 1:][wanted[:, 1:] > 0], wanted[:, :-1][wanted[:, 1:] > 0])
    rows, places = torch.nonzero(wanted, as_tuple=True)
    prefixes = torch.where(torch.arange(read.shape[1]) <= places[:, None], read[rows], 0)
    each = {"item_id_list": prefixes, "item_length": places + 1, "item_id": wanted[rows, places]}
    assert torch.isclose(model.calculate_loss(each), model.calculate_loss(batch), atol=1e-5)


def test_windows_hold_every_training_target_but_the_first_of_a_piece(held, asked):
    model, dataset, ids = held
    batches = list(_Windows(model, asked.train, ids, 0))
    read, wanted = (torch.cat([batch[name] for batch in batches]) for name in ("item_id_list", "item_id"))
    pairs = {
        pair for h in asked.train.histories() for pair in zip(ids[h[:-1]].tolist(), ids[h[1:]].tolist(), strict=True)
    }
    there = {(int(a), int(b)) for a, b in zip(read[wanted > 0], wanted[wanted > 0], strict=True)}
    assert there <= pairs
    assert len(dataset) == len(asked.train) - len(asked.train.users)  # what prefixes are asked for
