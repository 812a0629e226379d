from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from db.errors import LetheError
from db.records import Split
from recsys.heldout import held_out, served
from recsys.semantic_ids import training
from recsys.semantic_ids.backbone import FILE, SemanticIds, once
from recsys.semantic_ids.decoder import Shape
from recsys.semantic_ids.training import SemanticIdFitter, SemanticSettings, windows
from tests.contracts.backbone import ITEMS, USERS, BackboneContract
from tests.recsys.toy import camps

SETTINGS = SemanticSettings(
    levels=2, width=8, digits=16, shape=Shape(hidden=16, layers=1, heads=2, shared=1, inner=24), window=6, epochs=12,
    learning_rate=1e-2, warmup=5, batch=16, evaluate_every=3,
)  # fmt: skip


def texts() -> np.ndarray:
    """Texts that tell the camps apart."""
    rng = np.random.default_rng(0)
    camp = np.where(np.arange(ITEMS) % 2 == 0, 1.0, -1.0)
    return np.column_stack([3 * camp, rng.normal(size=(ITEMS, 5))]).astype(np.float32)


@pytest.fixture(scope="module")
def made() -> SemanticIds:
    return SemanticIdFitter(SETTINGS).fit(camps(USERS, ITEMS), texts(), seed=1).backbone


class TestSemanticIds(BackboneContract):
    name = "semantic-ids"

    @pytest.fixture(scope="class")
    def fitted(self, made):
        return made


def test_people_are_offered_items_of_their_camp(made):
    history = np.array([0, 2, 4, 6])
    (found,) = made.candidates([history], [history], 10)
    assert (found.rows % 2 == 0).mean() >= 0.8


def test_equal_seeds_give_equal_tensors_and_others_do_not():
    log, fitter = camps(USERS, ITEMS), SemanticIdFitter(replace(SETTINGS, epochs=2))
    first, again, other = (fitter.fit(log, texts(), seed=seed).backbone for seed in (3, 3, 4))
    equal = [torch.equal(a, b) for a, b in zip(first.decoder.parameters(), again.decoder.parameters(), strict=True)]
    assert all(equal)
    assert not torch.equal(first.decoder.embed_tokens.weight, other.decoder.embed_tokens.weight)


def test_random_numbers_outside_are_left_as_they_were():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    SemanticIdFitter(replace(SETTINGS, epochs=1)).fit(camps(USERS, ITEMS), texts(), seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_best_epoch_stays_the_best_through_the_epochs_between_and_after(monkeypatch):
    values, decoders = iter([0.2, 0.5, 0.3, 0.4, 0.1]), []

    def _served(backbone, questions, k):
        decoders.append([tensor.clone() for tensor in backbone.decoder.parameters()])
        return SimpleNamespace(ndcg=np.array([next(values)]))

    monkeypatch.setattr(training, "served", _served)
    log = camps(USERS, ITEMS)
    settings = replace(SETTINGS, epochs=10, evaluate_every=2, patience=2)
    found = SemanticIdFitter(settings).fit(log, texts(), seed=1, validation=held_out(log, Split.VALID))
    assert found.curve == ((2, 0.2), (4, 0.5), (6, 0.3), (8, 0.4))
    assert found.epoch == 4
    assert all(torch.equal(a, b) for a, b in zip(found.backbone.decoder.parameters(), decoders[1], strict=True))


def test_the_best_epoch_on_validation_people_is_kept():
    log = camps(USERS, ITEMS)
    questions = held_out(log, Split.VALID)
    questions = questions.take(questions.warm)
    found = SemanticIdFitter(SETTINGS).fit(log.only(Split.TRAIN), texts(), seed=1, validation=questions)
    assert max(value for _, value in found.curve) == dict(found.curve)[found.epoch]
    assert served(found.backbone, questions, 10).ndcg.mean() == pytest.approx(dict(found.curve)[found.epoch])


def test_a_stale_id_table_is_refused(made, tmp_path: Path):
    made.save(tmp_path)
    tensors = load_file(tmp_path / FILE)
    with safe_open(tmp_path / FILE, framework="pt") as stored:
        facts = stored.metadata()
    free = int(tensors["codes"][:, -1].max()) + 1
    tensors["codes"][5, -1] = free
    save_file(tensors, tmp_path / FILE, facts)
    with pytest.raises(LetheError, match="stale"):
        SemanticIds.load(tmp_path)


def test_what_is_loaded_still_gives_the_stored_codes(made, tmp_path: Path):
    made.save(tmp_path)
    again = SemanticIds.load(tmp_path)
    assert np.array_equal(again.tokenizer.codes, again.table.codes[:, :-1])
    assert again.table.version == made.table.version


def test_the_rate_rises_over_the_first_steps_and_falls_to_a_fiftieth():
    settings = SemanticSettings(learning_rate=0.5, warmup=4)
    assert training.rate(settings, 0, 0.0) == pytest.approx(0.125)
    assert training.rate(settings, 9, 0.5) == pytest.approx(0.255)
    assert training.rate(settings, 99, 1.0) == pytest.approx(0.01)


def test_windows_hold_every_item_once_and_in_order():
    histories = [np.arange(23), np.arange(3), np.arange(5)]
    pieces = windows(histories, 5, np.random.default_rng(2))
    assert max(map(len, pieces)) <= 5
    assert np.concatenate(pieces).tolist() == np.concatenate(histories).tolist()


def test_an_item_counts_where_it_came_first():
    assert once(np.array([4, 1, 4, 2, 1])).tolist() == [4, 1, 2]


def test_an_unknown_quantiser_is_refused():
    with pytest.raises(LetheError, match="quantiser"):
        SemanticSettings(quantiser="pq")
