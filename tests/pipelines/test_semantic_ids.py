"""The generative recommender behind the same commands as every backbone."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from db import artifacts, concepts
from db.log import SPLITS
from db.records import Scope, Split
from pipelines import models
from pipelines.concepts import tokens
from recsys.heldout import held_out
from recsys.semantic_ids import training
from recsys.semantic_ids.backbone import SemanticIds
from recsys.semantic_ids.decoder import Shape
from tests.pipelines.commands import (
    GENRES,
    OTHER,
    PEOPLE,
    SOMEBODY,
    THIRD,
    Lethe,
    erased,
    forgotten,
    history,
    ingest_words,
)
from tests.recsys.toy import camps

FEW = replace(
    training.SEMANTIC_SETTINGS, width=6, digits=30, shape=Shape(16, 1, 2, 1, 24), window=8, epochs=4, evaluate_every=2
)


@pytest.fixture(scope="module")
def generative_once(tmp_path_factory, data_folder):
    """A root with the generative recommender, trained shortly, and no language model; nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LETHE_DB", raising=False)
        root = tmp_path_factory.mktemp("generative") / "root"
        patch.setenv("LETHE_ROOT", str(root))
        patch.setattr(training, "SEMANTIC_SETTINGS", FEW)
        lethe = Lethe(root)
        lethe.ok(*ingest_words(data_folder))
        lethe.ok("train", "--backbone", "semantic-ids", "--scorer", "off")
        lethe.close()
    return root


@pytest.fixture
def generative(empty, generative_once):
    """The command line, pointed at such a root that belongs to this test alone."""
    shutil.copytree(generative_once, empty.root)
    return empty


def live(lethe):
    with lethe.store.reading() as unit:
        found = artifacts.live(unit, "backbone", "semantic-ids")
    return found, SemanticIds.load(lethe.root / found.path)


def test_it_is_trained_and_served(generative):
    found, model = live(generative)
    assert (found.scope, found.settings["ids"]) == (Scope.ALL, model.table.version)
    seen = set(history(generative, SOMEBODY).items)
    (offered,) = generative.read("recommend", SOMEBODY)
    items = {entry["item"] for entry in offered["recommendations"]}
    assert len(items) == 10
    assert not items & seen


def test_what_comes_next_chooses_its_epochs_and_no_validation_row(monkeypatch):
    log, seen = camps(20, 12), []
    split = np.array([SPLITS.index(part) for part in (Split.TRAIN, Split.TRAIN, Split.VALID)], dtype=np.uint8)
    log = replace(log, split=np.resize(split, len(log)))
    monkeypatch.setattr(training, "SEMANTIC_SETTINGS", FEW)
    fit = training.SemanticIdFitter.fit
    monkeypatch.setattr(
        training.SemanticIdFitter, "fit", lambda *given, **named: seen.append((given[1], named)) or fit(*given, **named)
    )
    texts = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    _, frozen = models.choose(
        "semantic-ids", log, held_out(log, Split.VALID), seed=0, progress=lambda done, total: None, texts=lambda: texts
    )
    ((earlier, named),) = seen
    last = [history[-1] for history in log.only(Split.TRAIN).histories()]
    asked = named["validation"]
    assert [items.tolist() for items in asked.relevant] == [[last[person]] for person in asked.people]
    assert len(earlier) == int((log.split == SPLITS.index(Split.TRAIN)).sum()) - len(last)
    assert frozen["epochs"] in [epoch for epoch, _ in frozen["curve"]]


def moved(lethe):
    """The artefacts of ids that moved, by the concept's name."""
    with lethe.store.reading() as unit:
        return {one.name: artifacts.get(unit, one.adapter) for one in concepts.retokened(unit)}


def loaded(lethe):
    """The recommender that is served."""
    with lethe.store.reading() as unit:
        served = artifacts.live(unit, "backbone", "semantic-ids")
    return tokens.load(lethe.store, served, lethe.root / served.path)


FORGET = ("forget", "concept", "Horror", "--layer", "tokens", "--yes")


def offered(lethe):
    return [one["recommendations"] for one in lethe.read("recommend", SOMEBODY, OTHER, THIRD)]


def written(lethe, *lines):
    (lethe.root / "lethe.toml").write_text("\n".join(lines))


@pytest.fixture
def lenient(generative):
    """A few steps, and gates that everything passes."""
    settings = "steps = 6\noffset_rate = 0.5\nretained = 4\nasked = 6\nneighbours = 2"
    written(generative, "[tokens.settings]", settings, "[tokens.gates]\nexposure = 9\nutility = 0\npeople = 10")


def test_ids_move_are_served_learned_anew_by_an_erase_and_taken_back(generative, lenient):
    before, (backbone, model) = offered(generative), live(generative)
    told = generative.read(*FORGET)
    assert (told["request"]["state"], told["items"] > 0) == ("unlearned", True)
    assert told["ids"] != model.table.version
    assert offered(generative) != before
    (one,) = generative.read("recommend", SOMEBODY)
    assert (one["without"], one["weakened"]) == ([], ["Horror"])  # the layer hides nothing
    assert generative.ok("recommend", SOMEBODY).out.endswith("forgotten by a model, and not hidden: Horror\n")
    assert live(generative)[0] == backbone  # the backbone itself was not written
    assert generative.read(*FORGET)["gates"] == []
    refused = generative("forget", "concept", "Horror", "--layer", "retrieval", "--yes")
    assert refused.status == 1
    assert "cannot join" in refused.err
    request = forgotten(generative, PEOPLE[20])
    (document,) = erased(generative)
    generative.ok("verify", request)
    actions = {receipt["artifact"]: receipt["action"] for receipt in document["receipts"]}
    new, _ = live(generative)
    assert actions[f"backbone/semantic-ids generation {new.generation}"] == "retrain"
    assert new.generation == backbone.generation + 1
    assert new.seed != backbone.seed
    assert not (generative.root / backbone.path).exists()
    (one,) = generative.read("restore", "concept", "--list")
    with generative.store.reading() as unit:
        ids = artifacts.get(unit, one["adapter"])
    assert (one["state"], ids.settings["base"]) == ("unlearned", live(generative)[0].sha256)
    assert ids.state == artifacts.LIVE
    generative.ok("restore", "concept", "Horror")
    assert not (generative.root / ids.path).exists()
    assert loaded(generative).settings() == live(generative)[1].settings()


def test_a_concept_beneath_another_goes_last(generative, lenient):
    generative.ok(*FORGET)
    generative.ok("forget", "concept", "Comedy", "--layer", "tokens", "--yes")
    refused = generative("restore", "concept", "Horror")
    assert refused.status == 1
    assert "lethe restore concept 'Comedy'" in refused.err
    generative.ok("restore", "concept", "Comedy")
    generative.ok("restore", "concept", "Horror")


def test_ids_that_fail_their_gates_are_not_served(generative):
    settings = "[tokens.settings]\nsteps = 1\noffset_rate = 1e-9"
    written(generative, settings, "[tokens.gates]\nexposure = 0\nutility = 0\npeople = 30")
    before = offered(generative)
    refused = generative(*FORGET)
    assert refused.status == 75
    (one,) = generative.read("recommend", SOMEBODY)
    assert (one["without"], one["weakened"]) == ([], [])  # nothing was forgotten yet, and nothing is claimed
    assert "exposure of the concept" in refused.err
    assert "NDCG@10" not in refused.err
    assert offered(generative) == before


def test_another_method_moves_ids_again_after_an_erase_and_is_the_one_that_was_named(generative, lenient):
    moves = {"Horror": "random-codes", "Comedy": "phi-only"}
    for name, method in moves.items():
        generative.ok("forget", "concept", name, "--layer", "tokens", "--method", method, "--yes")
    before = {name: artefact.sha256 for name, artefact in moved(generative).items()}
    base = live(generative)[0].sha256
    forgotten(generative, PEOPLE[20])
    erased(generative)
    after = moved(generative)
    assert {name: artefact.settings["forgets_by"] for name, artefact in after.items()} == moves
    assert {artefact.settings["base"] for artefact in after.values()} == {live(generative)[0].sha256} != {base}
    assert all(artefact.sha256 != before[name] and artefact.state == artifacts.LIVE for name, artefact in after.items())
    plain = live(generative)[1]
    rows = [row for row, item in enumerate(plain.items) if GENRES[int(item[1:]) % 3] in moves]
    others = np.setdiff1d(np.arange(len(plain.items)), rows)
    served = loaded(generative)
    assert (served.table.codes[rows] != plain.table.codes[rows]).any()
    assert np.array_equal(served.table.codes[others], plain.table.codes[others])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ("[tokens.settings]\nsteps = 1\nlearning_rate = 1e-9", "[tokens.gates]\nexposure = 0\nutility = 0"),
            "exposure of the concept",
        ),
        (("[tokens.settings]", "steps = 0"), "tokens.settings.steps is 0"),
    ],
)
def test_what_cannot_move_again_after_an_erase_is_open_and_served_as_the_backbone_has_it(
    generative, lenient, lines, told
):
    generative.ok(*FORGET, "--method", "theta-only")
    written(generative, *lines)
    forgotten(generative, PEOPLE[20])
    erased(generative)
    (one,) = generative.read("restore", "concept", "--list")
    assert (one["state"], one["adapter"]) == ("accepted", None)
    assert told in one["detail"]
    pairs = zip(loaded(generative).decoder.parameters(), live(generative)[1].decoder.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize(("words", "told"), [(("--user", SOMEBODY), "everybody"), (("--method", "magic"), "tracer")])
def test_what_ids_cannot_do_is_said(generative, words, told):
    refused = generative(*FORGET, *words)
    assert refused.status == 1
    assert told in refused.err


def test_a_comparison_has_an_arm_for_ids_and_says_what_would_measure_it(generative):
    words = (
        "compare",
        "--quick",
        "--concept",
        "Film number 7",
        "--arm",
        "tokens",
        "--surface",
        "candidates",
        "--people",
        2,
    )
    found = generative.read(*words, "--protocol", "none")
    assert [arm["name"] for arm in found["arms"]] == ["none", "tokens", "oracle"]
    (concept,) = found["concepts"]
    tables = {table["surface"]: {row["arm"]: row for row in table["rows"]} for table in concept["surfaces"]}
    assert tables["candidates"]["tokens"]["state"] == "not applicable"
    assert tables["candidates"]["none"]["value"] is not None
    assert (
        tables["list by semantic ids"]["tokens"]["why"]
        == "`lethe evaluate tracer --concept 'Film number 7'` measures it"
    )
