"""The model's half of a forgotten concept: registered in one step, served to whom it concerns, taken off bit for bit.

Training has its own tests; here a random adapter that says of itself that it passed stands at its place, but for one.
"""

import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from db import artifacts, concepts
from db.records import Scope, Verdict
from llm.adapter_file import read_adapter
from llm.tiny.checkpoint import checkpoint_path
from pipelines.concepts import fit, unlearn
from tests.llm.test_adapters import adapter
from tests.pipelines.commands import OTHER, SOMEBODY, THIRD, erased, forgotten, subjects_file
from unlearning.concept.gates import Judged
from unlearning.concept.settings import ADAPTER
from unlearning.concept.trained import TrainedAdapter

FORGET = ("forget", "concept", "Horror", "--layer", "model", "--yes")
PASSED = Verdict("leaked answers", 0.01, 0.05, control=0.9, control_found=True)
FAILED = replace(PASSED, value=0.4)


def made_up(verdict=PASSED, before=lambda: None, seeds=None, others=None):
    """A training that takes no time; its seed is added to `seeds`, and beside which concepts it was to `others`."""

    def fitted(model, concept, catalogue, plan, *, seed, bars, vectors, beside):
        before()
        if others is not None:
            others.append([one.card.concept for one in beside])
        if seeds is not None:
            seeds.append(seed)
        found = adapter(model, concept.name, seed=len(concept.name), size=0.1)
        trained = TrainedAdapter(found, {})
        return fit.Fitted(trained, Judged((verdict,)))

    return fitted


@pytest.fixture
def trained(monkeypatch):
    monkeypatch.setattr(unlearn, "fit", made_up())
    return monkeypatch


def lists(lethe, *people):
    """What the model makes of people, with scores to the last digit."""
    words = ("--scorer", "packed", "--weight", 0.5, "--candidates", 12)
    return {one["user"]: one["recommendations"] for one in lethe.read("recommend", *people, *words)}


def adapters(lethe):
    with lethe.store.reading() as unit:
        return [a for a in artifacts.all_on_disk(unit) if a.kind == concepts.ADAPTER]


def test_an_adapter_is_registered_served_and_taken_off_bit_for_bit(lethe, trained):
    before = lists(lethe, SOMEBODY, OTHER)
    told = lethe.read(*FORGET)
    assert (told["request"]["state"], told["gates"][0]["passed"]) == ("unlearned", True)
    (one,) = adapters(lethe)
    assert (one.scope, one.state, one.settings["method"]) == (Scope.NONE, artifacts.LIVE, ADAPTER)
    card = read_adapter(lethe.root / one.path).card
    assert (card.concept, one.settings["base"]) == ("Horror", card.base)
    changed = lists(lethe, SOMEBODY, OTHER)
    assert all(changed[user] != before[user] for user in before)
    assert lethe.read(*FORGET)["gates"] == []  # the same request again trains nothing
    assert lists(lethe, SOMEBODY, OTHER) == changed
    assert lethe.read("status")["concepts"][0]["adapter"] == one.id
    lethe.ok("restore", "concept", "Horror")
    assert not (lethe.root / one.path).exists()
    assert adapters(lethe) == []
    assert lists(lethe, SOMEBODY, OTHER) == before


def test_adapters_compose_and_each_person_is_served_with_their_own(lethe, trained):
    before = lists(lethe, SOMEBODY, OTHER, THIRD)
    lethe.ok(*FORGET, "--user", SOMEBODY)
    lethe.ok("forget", "concept", "Comedy", "--layer", "model", "--yes", "--user", SOMEBODY)
    lethe.ok(*FORGET, "--user", OTHER)
    together = lists(lethe, SOMEBODY, OTHER, THIRD)
    assert together[THIRD] == before[THIRD]
    assert together[SOMEBODY] != before[SOMEBODY]
    assert together[OTHER] != before[OTHER]
    assert {user: lists(lethe, user)[user] for user in together} == together
    lethe.ok("restore", "concept", "Comedy", "--user", SOMEBODY)
    fewer = lists(lethe, SOMEBODY)[SOMEBODY]
    assert fewer not in (together[SOMEBODY], before[SOMEBODY])
    assert {a.scope for a in adapters(lethe)} == {Scope.USER}


def test_an_adapter_is_trained_beside_those_that_it_will_serve_with(lethe, trained):
    others = []
    trained.setattr(unlearn, "fit", made_up(others=others))
    comedy, drama = (("forget", "concept", name, "--layer", "model", "--yes") for name in ("Comedy", "Drama"))
    lethe.ok(*comedy, "--user", OTHER)
    lethe.ok(*FORGET)
    lethe.ok(*comedy, "--user", SOMEBODY)
    mine = lethe.read(*drama, "--user", SOMEBODY)["request"]
    (own,) = (one for one in lethe.read("status")["concepts"] if (one["name"], one["user"]) == ("Comedy", SOMEBODY))
    lethe.ok(*comedy)
    assert others == [[], [], ["Horror"], ["Horror", f"Comedy (request {own['id']})"], ["Horror"]]
    with lethe.store.reading() as unit:
        damaged = artifacts.get(unit, concepts.get(unit, mine["id"]).adapter)
    (lethe.root / damaged.path / "lethe.json").write_text("{}")
    told = lethe("forget", "concept", "Film number 7", "--layer", "model", "--yes", "--user", SOMEBODY)
    assert told.status == 1
    assert "'Drama' is not as it was registered" in told.err


def test_no_adapter_that_does_not_fit_lets_the_base_serve(lethe, trained, tmp_path):
    lethe.ok(*FORGET)
    asked = ("recommend", SOMEBODY, "--weight", 0.5, "--scorer", "packed")
    other = tmp_path / "other-model"
    shutil.copytree(checkpoint_path(), other)
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 1.01
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    refused = lethe(*asked, "--model", other)
    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert "adapter of 'Horror' was made for another base" in refused.err
    (one,) = adapters(lethe)
    weights = lethe.root / one.path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    refused = lethe(*asked)
    assert (refused.status, refused.out) == (1, "")
    assert "the adapter of 'Horror' is not as it was registered" in refused.err
    assert lethe.ok("recommend", SOMEBODY, "--scorer", "off").status == 0  # no model is asked, none is wanted
    assert lethe.read(*FORGET)["request"]["adapter"] != one.id  # the same request again puts it right
    lethe.ok(*asked)


def test_a_failed_gate_leaves_it_hidden_with_the_figure(lethe, trained):
    trained.setattr(unlearn, "fit", made_up(FAILED))
    words = ("forget", "concept", "Horror", "--yes")
    refused = lethe(*words, "--json")
    assert refused.status == 75
    assert refused.json["request"]["state"] == "hidden"
    assert refused.json["gates"][0]["value"] == 0.4
    assert "leaked answers 0.400, allowed 0.050" in refused.err.splitlines()[-1]
    (told,) = lethe.read("status")["concepts"]
    assert "leaked answers 0.400" in told["detail"]
    assert adapters(lethe) == []
    assert lethe("doctor").out.count('lethe forget concept "Horror"') == 1
    trained.setattr(unlearn, "fit", made_up())
    assert lethe.read(*words)["request"]["state"] == "unlearned"


def test_what_gates_refused_is_tried_with_another_seed_and_says_so(lethe, trained):
    seeds, words = [], ("forget", "concept", "Horror", "--yes")
    trained.setattr(unlearn, "fit", made_up(FAILED, seeds=seeds))
    for attempt in (1, 2):
        refused = lethe(*words, "--json")
        assert (refused.status, refused.json["attempt"]) == (75, attempt)
        assert "tries another seed" in refused.err
    trained.setattr(unlearn, "fit", made_up(seeds=seeds))
    assert "attempt 3: gates refused those before it" in lethe.ok(*words).out
    assert len(set(seeds)) == 3


@pytest.mark.parametrize("where", ["fit", "_register"])
def test_a_kill_between_any_two_steps_is_made_good_by_the_same_command(lethe, trained, where):
    real = getattr(unlearn, where)

    def killed(*_words, **_options):
        raise KeyboardInterrupt

    trained.setattr(unlearn, where, killed)
    words = ("forget", "concept", "Horror", "--yes")
    assert lethe(*words).status == 130
    assert [one["state"] for one in lethe.read("status")["concepts"]] == ["hidden"]
    assert adapters(lethe) == []
    trained.setattr(unlearn, where, real)
    assert lethe.read(*words)["request"]["state"] == "unlearned"
    (one,) = adapters(lethe)
    assert [path.name for path in (lethe.root / one.path).parent.iterdir()] == ["gen-00001"]


def test_a_concept_that_is_restored_meanwhile_is_not_registered(lethe, trained):
    trained.setattr(unlearn, "fit", made_up(before=lambda: lethe.ok("restore", "concept", "Horror")))
    refused = lethe(*FORGET)
    assert refused.status == 1
    assert "restored" in refused.err
    lethe.ok("train", "--backbone", "popularity", "--scorer", "off")  # the next maintenance
    assert list((lethe.root / "artifacts" / "adapter").glob("*/gen-*")) == []


def test_an_adapter_dies_with_the_person_who_asked_for_it(lethe, trained):
    for user in (SOMEBODY, OTHER):
        lethe.ok(*FORGET, "--user", user)
    mine, theirs = adapters(lethe)
    request = forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe)
    destroyed = [one for one in document["receipts"] if one["action"] == "destroy"]
    assert [one["artifact"] for one in destroyed] == [f"adapter/{mine.name}"]
    assert f"adapter/{theirs.name}" not in {one["artifact"] for one in document["receipts"]}
    assert not (lethe.root / mine.path).exists()
    assert [a.id for a in adapters(lethe)] == [theirs.id]
    lethe.ok("verify", request, "--certificate", subjects_file(lethe))


def test_a_real_training_goes_all_the_way_to_its_gates(lethe):
    """The embedded model never met these films: there is nothing to forget, and the gate says so."""
    (lethe.root / "lethe.toml").write_text(
        "[concept.settings]\nsteps = 2\nforget_rows = 4\nretain_rows = 4\nneurons = 16\n"
        "[concept.sizes]\nmost = 12\npeople = 2\njudged = 2\n"
        "[concept.sizes.probes]\nneighbours = 6\nretained = 6\nforms = 1\npeople = 2\nchosen = 2\n"
    )
    before = lists(lethe, SOMEBODY)
    refused = lethe("forget", "concept", "Film number 7", "--layer", "model", "--yes", "--json")
    assert refused.status == 75
    assert {one["audit"] for one in refused.json["gates"]} >= {"leaked answers", "retain answers lost"}
    assert "the base hardly knows the concept" in refused.err
    assert lists(lethe, SOMEBODY) == before
    (lethe.root / "lethe.toml").write_text("[concept.gates]\nleaks = 1\n")
    assert "concept.gates.leaks is no setting" in lethe(*FORGET).err
