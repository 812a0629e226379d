"""The generative recommender behind the same commands as every backbone."""

from dataclasses import replace

import pytest

from db import artifacts
from db.records import Scope
from recsys.semantic_ids import training
from recsys.semantic_ids.backbone import SemanticIds
from recsys.semantic_ids.decoder import Shape
from tests.pipelines.commands import SOMEBODY, erased, forgotten, history, ingest_words

FEW = replace(
    training.SEMANTIC_SETTINGS, width=6, digits=30, shape=Shape(16, 1, 2, 1, 24), window=8, epochs=4, evaluate_every=2
)


@pytest.fixture
def generative(empty, data_folder, monkeypatch):
    """A root with the generative recommender, trained shortly, and no language model."""
    monkeypatch.setattr(training, "SEMANTIC_SETTINGS", FEW)
    empty.ok(*ingest_words(data_folder))
    empty.ok("train", "--backbone", "semantic-ids", "--scorer", "off")
    return empty


def live(lethe):
    with lethe.store.reading() as unit:
        found = artifacts.live(unit, "backbone", "semantic-ids")
    return found, SemanticIds.load(lethe.root / found.path)


def test_it_is_trained_served_and_rebuilt_without_a_person(generative):
    old, before = live(generative)
    assert (old.scope, old.settings["ids"]) == (Scope.ALL, before.table.version)
    seen = {str(item) for item in history(generative, SOMEBODY).items}
    (offered,) = generative.read("recommend", SOMEBODY)
    items = {entry["item"] for entry in offered["recommendations"]}
    assert len(items) == 10
    assert not items & seen
    request = forgotten(generative, SOMEBODY)
    (document,) = erased(generative)
    new, after = live(generative)
    assert new.seed != old.seed
    assert new.generation == old.generation + 1
    assert not (generative.root / old.path).exists()
    told = {receipt["artifact"]: receipt for receipt in document["receipts"]}
    assert told["backbone/semantic-ids generation 2"]["action"] == "retrain"
    generative.ok("verify", request)
    assert after.items == before.items
