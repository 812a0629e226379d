"""`lethe evaluate concepts`: cells are kept and gone on with, the oracle is full forgetting, and nothing is made up."""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from db.errors import LetheError
from llm.model import load as load_model
from llm.tiny.checkpoint import checkpoint_path
from llm.tiny.record import BuildRecord
from pipelines.cli.evaluate_concepts import oracles_of
from pipelines.cli.output import plain
from pipelines.compare.arms import Arm
from pipelines.compare.spec import Scope
from pipelines.compare.spec import Spec as Compared
from pipelines.evaluate_concepts.cells import ROWS, frame, load, samples
from pipelines.evaluate_concepts.grid import METHODS, QUICK_SETTINGS, Grid, Wish, filled
from pipelines.evaluate_concepts.run import run
from pipelines.evaluate_concepts.spec import Part, Spec, fit_settings, told_of
from pipelines.evaluate_concepts.subject import named, subject
from pipelines.evaluate_concepts.summary import summarise
from tests.llm.toys import toy_model
from tests.pipelines.concept_evaluations import FEW, TITLE, base, fork, grid, lab_of, saved, toy_subject
from tests.unlearning.concept.knowing import knowing
from tests.unlearning.concept.world import catalogue
from unlearning.concept.base import Kind, ProbeKind
from unlearning.concept.cells import Sample
from unlearning.concept.evaluate import accuracy_of, probability_of
from unlearning.concept.masked_lora import MaskedLora
from unlearning.concept.settings import ADAPTER, ConceptSettings, Sparing

DIRECT = accuracy_of(ProbeKind.DIRECT)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of the base and of the fork without the title."""
    folder = tmp_path_factory.mktemp("models")
    return saved(base(), folder / "base"), saved(fork(), folder / "fork")


@pytest.fixture(scope="module")
def kept(tmp_path_factory, models):
    """A finished run with an oracle: a prompt and zeroed random neurons, two seeds, the latter attacked."""
    folder = tmp_path_factory.mktemp("cells")
    lab = lab_of(folder, oracles={TITLE: models[1:2]})
    asked = grid("prompt", "ablation-random", seeds=2, draws=2, attacked=("ablation-random",))
    return lab, asked, run(lab, asked)


@pytest.fixture(scope="module")
def found(kept):
    lab, asked, outcome = kept
    (one,) = json.loads(json.dumps(plain(summarise(lab, asked, outcome))))["concepts"]
    return one


def row(found, label):
    return next(row for row in found["rows"] if row["label"] == label)


def test_the_grid_holds_base_and_oracle_once_and_every_method_with_every_seed(kept):
    _, _, outcome = kept
    names = [(spec.label, spec.seed, spec.part) for spec in outcome.specs[TITLE]]
    assert len(names) == len(set(names)) == outcome.done.measured
    examined = [(label, seed) for label, seed, part in names if part is Part.EXAMINED]
    assert examined == [
        ("base", 0), ("oracle", 0), *((label, seed) for seed in (0, 1) for label in ("prompt", "ablation-random/8"))
    ]  # fmt: skip
    assert {label for label, _, part in names if part is Part.ATTACKED} == {"base", "oracle", "ablation-random/8"}
    assert {label for label, _, part in names if part is Part.DEEP} == {"prompt", "ablation-random/8"}


def test_the_same_run_again_measures_nothing_and_finds_the_same(kept, models, found):
    lab, asked, _ = kept
    again = lab_of(lab.keeper._folder, oracles={TITLE: models[1:2]})
    outcome = run(again, asked)
    assert (outcome.done.measured, outcome.done.left) == (0, 0)
    told = json.loads(json.dumps(plain(summarise(again, asked, outcome))))
    assert told["concepts"] == [found]


def test_a_run_without_time_leaves_its_cells_and_one_cell_that_is_lost_is_measured_again(kept, models, tmp_path):
    lab, asked, outcome = kept
    copy = shutil.copytree(lab.keeper._folder, tmp_path / "cells")
    lost = next(spec for spec in outcome.specs[TITLE] if spec.method == "prompt" and spec.part is Part.EXAMINED)
    shutil.rmtree(copy / lost.name)
    again = lab_of(copy, oracles={TITLE: models[1:2]})
    assert run(again, asked, minutes=0).done.left == 1
    assert run(again, asked).done.measured == 1
    assert load(copy / lost.name, lost).rows.equals(load(lab.keeper._folder / lost.name, lost).rows)


def test_an_adapter_is_fitted_once_for_all_runs(tmp_path, monkeypatch):
    asked = grid("refusal-random")
    outcome = run(lab_of(tmp_path), asked)
    lost = next(s for s in outcome.specs[TITLE] if s.method == "refusal-random" and s.part is Part.EXAMINED)
    before = load(tmp_path / lost.name, lost)
    shutil.rmtree(tmp_path / lost.name)

    def refused(*_args, **_more):
        raise AssertionError("fitted again")

    monkeypatch.setattr(MaskedLora, "fit", refused)
    assert run(lab_of(tmp_path), asked).done.measured == 1
    again = load(tmp_path / lost.name, lost)
    assert again.rows.equals(before.rows)
    for name in ("fit_seconds", "bytes", "method"):
        assert again.facts[name] == before.facts[name]


def test_every_question_is_a_row_with_its_text(kept):
    lab, _, outcome = kept
    spec = outcome.specs[TITLE][0]
    rows = pl.read_parquet(lab.keeper.find(spec.name) / ROWS)
    asked = lab.subjects[TITLE].asked
    direct = rows.filter(pl.col("measure") == DIRECT)
    assert direct["question"].to_list() == [probe.question for probe in asked.of(ProbeKind.DIRECT)]
    assert set(direct["value"].to_list()) <= {0.0, 1.0}
    assert rows.filter(pl.col("measure") == probability_of(ProbeKind.RETAIN)).height == len(asked.of(ProbeKind.RETAIN))


def test_samples_come_back_in_their_order():
    made = {"b": Sample(pl.Series([0.5, 1.0]).to_numpy(), ("x", "y")), "a": Sample(pl.Series([2.0]).to_numpy(), ("z",))}
    back = samples(frame(made, {"a": ["What?"]}))
    assert list(back) == ["b", "a"]
    assert [(one.values.tolist(), one.items) for one in back.values()] == [([0.5, 1.0], ("x", "y")), ([2.0], ("z",))]


def test_the_base_has_forgotten_nothing_and_the_oracle_everything(found):
    assert row(found, "base")["measures"][DIRECT]["value"] > 0.8
    for label, share in (("base", 0.0), ("oracle", 1.0)):
        cell = row(found, label)["measures"][DIRECT]
        assert cell["tells"]
        assert cell["forgotten"] == pytest.approx(share)
    assert row(found, "oracle")["measures"][DIRECT]["gap"]["mean"] == 0
    assert "direct" in found["telling"]


def test_seeds_are_pooled_question_by_question_and_their_deviation_told(kept, found):
    lab, _, outcome = kept
    specs = [s for s in outcome.specs[TITLE] if s.method == "ablation-random" and s.part is Part.EXAMINED]
    means = [load(lab.keeper.find(spec.name), spec).samples[DIRECT].mean for spec in specs]
    cell = row(found, "ablation-random/8")["measures"][DIRECT]
    assert cell["value"] == pytest.approx(sum(means) / 2)
    assert cell["spread"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert row(found, "ablation-random/8")["seeds"] == 2


def test_targets_gates_cost_and_depth_are_told_of_every_method(found):
    mine = row(found, "prompt")
    states = {goal["name"]: goal["state"] for goal in mine["goals"]}
    assert states["brought back by 4 bits"] == "not measured"
    assert states["retained answers lost"] in ("ok", "over")
    assert mine["gates"]["passed"] + bool(mine["gates"]["failing"]) >= 1
    assert mine["cost"]["fit_seconds"] >= 0
    assert mine["cost"]["slower"] > 0
    assert len(mine["depth"]) == 2
    assert len(mine["depth"][0]["by_layer"]) == 2


def test_attacks_are_told_by_step_and_the_raw_base_gives_all_back(found):
    attacks = [one for one in row(found, "ablation-random/8")["attacks"] if one["measure"] == "known"]
    told = {(one["attack"], one["setting"], one["step"]): one for one in attacks}
    raw = told["raw base", "forgetting taken off", None]
    assert raw["value"] > 0.8
    assert raw["back"] is None or raw["back"] == pytest.approx(1)
    assert [step for attack, way, step in told if (attack, way) == ("relearn 5", "fresh")] == [0, 1, 2]
    assert all(one["seeds"] == 2 for one in attacks)
    steps = {one["step"] for one in row(found, "base")["attacks"] if one["attack"] == "relearn 5"}
    assert steps == {0, 1}, "the base is asked before it relearns what it knows"


def test_without_an_oracle_nothing_is_measured_between_forks_and_the_table_says_so(tmp_path):
    lab, asked = lab_of(tmp_path), grid("prompt")
    outcome = run(lab, asked)
    assert {spec.part for spec in outcome.specs[TITLE]} == {Part.EXAMINED, Part.UNMET}
    assert {spec.method for spec in outcome.specs[TITLE] if spec.part is Part.UNMET} == {"base"}
    (one,) = plain(summarise(lab, asked, outcome))["concepts"]
    assert one["oracles"] == []
    assert row(one, "prompt")["measures"][DIRECT]["oracle"] is None
    states = {goal["name"]: goal["state"] for goal in row(one, "prompt")["goals"]}
    assert states["memory, from the oracle"] == states["1 - depth"] == "no oracle"


def test_an_oracle_that_is_the_base_or_of_another_vocabulary_or_of_nothing_measured_is_refused(models, tmp_path):
    same = lab_of(tmp_path / "a", load_model(str(models[0]), device="cpu"), oracles={TITLE: models[:1]})
    with pytest.raises(LetheError, match="is the base itself"):
        run(same, grid("prompt"))
    with pytest.raises(LetheError, match="oracle of 'Casablanca'"):
        run(lab_of(tmp_path / "b", oracles={"Casablanca": models[1:2]}), grid("prompt"))
    other = saved(toy_model(), tmp_path / "other")
    spec = json.loads((other / "tokenizer.json").read_text())
    words = spec["model"]["vocab"]
    words["A"], words["B"] = words["B"], words["A"]
    (other / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(LetheError, match="vocabulary"):
        run(lab_of(tmp_path / "c", oracles={TITLE: [other]}), grid("prompt"))


def test_two_oracles_are_asked_both_and_depth_is_measured_beside_each_and_between_them(models, tmp_path):
    less = toy_subject().asked.of(ProbeKind.RETAIN)
    other = saved(knowing(less[: len(less) // 2], steps=40), tmp_path / "other")
    lab, asked = lab_of(tmp_path / "cells", oracles={TITLE: [models[1], other]}), grid("prompt")
    outcome = run(lab, asked)
    deep = {(spec.label, spec.seed, spec.beside) for spec in outcome.specs[TITLE] if spec.part is Part.DEEP}
    first, second = (fork.fingerprint for fork in lab.without(TITLE))
    assert deep == {("oracle", 0, second), ("oracle", 1, first), ("prompt", 0, first), ("prompt", 0, second)}
    (one,) = plain(summarise(lab, asked, outcome))["concepts"]
    assert one["oracles"] == [first, second]
    assert [(cell["seed"], cell["beside"]) for cell in row(one, "oracle")["depth"]] == [(0, second), (1, first)]
    kept = row(one, "oracle")["measures"][accuracy_of(ProbeKind.RETAIN)]
    assert kept["ends"][0] < kept["value"] == pytest.approx(sum(kept["ends"]) / 2)
    alone = run(lab_of(tmp_path / "cells", oracles={TITLE: [models[1]]}), asked)
    assert alone.done.measured == 0, "what was measured beside the first stands"
    with pytest.raises(LetheError, match="one model"):
        run(lab_of(tmp_path / "cells", oracles={TITLE: [models[1], models[1]]}), asked)


def test_a_measure_in_which_oracles_differ_from_replicates_as_trainings_do_tells_nothing(models, tmp_path):
    less = toy_subject().asked.of(ProbeKind.RETAIN)
    second, ignorant = (saved(knowing(less, steps=steps), tmp_path / str(steps)) for steps in (41, 42))
    knows = saved(base(60), tmp_path / "knows")
    asked, cells = grid("prompt", attacked=("prompt",)), tmp_path / "cells"
    model = load_model(str(models[0]), device="cpu")

    def told(oracles, *replicates):
        lab = lab_of(cells, model, oracles={TITLE: oracles}, replicates=replicates)
        outcome = run(lab, asked)
        own = {spec.part for spec in outcome.specs[TITLE] if spec.method == "replicate"}
        assert own == {Part.EXAMINED}, "asked, but neither attacked nor patched"
        (one,) = plain(summarise(lab, asked, outcome))["concepts"]
        assert one["replicates"] == [fork.fingerprint for fork in lab.again()]
        assert row(one, "replicate")["goals"] == []
        assert all("replicate" not in entry["said"] for entry in one["answers"])
        tells = row(one, "prompt")["measures"][DIRECT]["tells"]
        assert tells is ("direct" in one["telling"])
        return tells, {goal["name"]: goal["state"] for goal in row(one, "prompt")["goals"]}["memory, from the oracle"]

    both = [models[1], second]
    assert told(both, knows) == (True, "ok"), "both that met it know it, and no oracle does"
    assert told(both, knows, ignorant) == (False, "cannot tell"), "of three that met it one knows as little"
    assert told(both[:1], ignorant) == (True, "ok"), "a single oracle says nothing of how far oracles are apart"
    for wrong, reason in ((models[0], "base itself"), (knows, "one model with")):
        with pytest.raises(LetheError, match=f"replicate: .* {reason}"):
            run(lab_of(cells, model, replicates=[knows, wrong]), asked)
    (knows / "record.json").write_text(json.dumps({**asdict(BuildRecord.read(checkpoint_path())), "finished": False}))
    with pytest.raises(LetheError, match="has not ended"):
        run(lab_of(cells, model, replicates=[knows]), asked)
    (knows / "record.json").unlink()
    with pytest.raises(LetheError, match="trained on everything"):
        run(lab_of(cells, model, oracles={TITLE: both}, replicates=[knows, second]), asked)


def test_oracles_are_named_with_a_folder(tmp_path):
    assert oracles_of([f"Star Trek={tmp_path}"]) == {"Star Trek": (tmp_path,)}
    assert oracles_of([f"Star Trek={tmp_path}", "M=.", f"Star Trek={tmp_path.parent}"]) == {
        "Star Trek": (tmp_path, tmp_path.parent), "M": (Path(),)
    }  # fmt: skip
    for wrong in ("Star Trek", f"{tmp_path}", "Star Trek=/nowhere/at/all"):
        with pytest.raises(LetheError, match="NAME=DIR"):
            oracles_of([wrong])


def test_a_name_is_a_title_a_genre_or_the_words_that_titles_begin_with():
    kinds = {name: named(name, catalogue()) for name in (TITLE, "Sci-Fi", "Red River", "28")}
    assert [one.kind for one in kinds.values()] == [Kind.TITLE, Kind.GENRE, Kind.FRANCHISE, Kind.ITEMS]
    assert {item.title for item in kinds["Red River"].items} == {"Red River 0", TITLE, "Red River 56"}
    with pytest.raises(LetheError, match="no item, title, genre or franchise"):
        named("Casablanca", catalogue())
    with pytest.raises(LetheError, match="there are 9 items, 24 are needed"):
        subject(kinds[TITLE], catalogue()[19:30], seed=0)


def test_random_masks_get_more_draws_and_methods_without_a_mask_one_size():
    wide = Grid((TITLE,), ("refusal-guided", "refusal-random", "ssd"), (16, 64), seeds=1, draws=3)
    assert list(wide.wanted(0)) == [
        ("refusal-guided", 16), ("refusal-guided", 64), ("refusal-random", 16), ("refusal-random", 64), ("ssd", 16)
    ]  # fmt: skip
    assert list(wide.wanted(2)) == [("refusal-random", 16), ("refusal-random", 64)]
    assert len(METHODS) == len(set(METHODS))


def test_what_a_wish_leaves_empty_is_filled_in():
    whole, quick = (filled(Wish(quick=quick), 64) for quick in (False, True))
    assert (whole.concepts, whole.neurons, whole.seeds, whole.draws) == (
        ("Casablanca", "Star Trek", "Film-Noir"), (64,), 3, 5
    )  # fmt: skip
    assert set(whole.attacked) < set(whole.methods)
    assert (quick.concepts, quick.seeds, quick.attacked) == (("Star Trek",), 1, (ADAPTER,))
    assert QUICK_SETTINGS.steps < ConceptSettings().steps
    own = filled(Wish(("X",), ("ssd",), (8, 16), ("none",), 2, 4, 7), 64)
    assert own == Grid(("X",), ("ssd",), (8, 16), seeds=2, draws=4, attacked=(), draw=7)


def test_grids_of_unknown_methods_or_nothing_are_refused():
    for wrong in ({"methods": ("erase",)}, {"concepts": ()}, {"seeds": 0}, {"concepts": (TITLE, TITLE)}):
        with pytest.raises(LetheError):
            Grid(**{"concepts": (TITLE,), **wrong})


def test_a_loss_whose_fits_changed_is_measured_again_and_no_other(monkeypatch):
    ways = ("npo-guided", "npo-none", "simnpo-guided", "ssd", "base")
    before, after = [], []
    for keys, anew in ((before, {}), (after, {"npo": 1})):
        monkeypatch.setattr("pipelines.evaluate_concepts.spec.FITTED_ANEW", anew)
        keys += [Spec(Part.EXAMINED, "model", "title", "digest", way, {"steps": 1}).key for way in ways]
        keys += [_compared("npo-guided"), _compared("ssd")]
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, True, *[False] * 3, True, False]


def test_how_fits_of_many_items_spare_is_part_of_their_cells_and_no_setting(monkeypatch):
    way, keys = "resisted_ascent-guided", []
    for dropout in (0.1, 0.2):
        monkeypatch.setattr("pipelines.evaluate_concepts.spec.OF_MANY", Sparing(dropout=dropout))
        told = [told_of(ConceptSettings(), way, items) for items in (8, 9)] + [
            told_of(ConceptSettings(), "npo-none", 9)
        ]
        assert all(fit_settings(one) == ConceptSettings() for one in told)
        keys.append([Spec(Part.EXAMINED, "model", "genre", "digest", way, one).key for one in told])
    assert [old != new for old, new in zip(*keys, strict=True)] == [False, True, False]


def _compared(way: str) -> str:
    """The key of a cell of `lethe compare` in which a method forgot."""
    arm = Arm("model alone", method=way)
    return Compared("title", "digest", "answers", Scope.EVERYBODY, arm, "model", {"steps": 1}, "").key


def test_other_wordings_are_another_subject():
    assert subject(named(TITLE, catalogue()), catalogue(), seed=0, sizes=FEW).digest == toy_subject().digest
    assert subject(named(TITLE, catalogue()), catalogue(), seed=1, sizes=FEW).digest != toy_subject().digest


def test_the_command_keeps_cells_goes_on_and_writes_a_page(lethe, models, tmp_path):
    words = ["evaluate", "concepts", "--quick", "--concept", "Film number 7", "--model", models[0], "--attack", "none"]
    page = tmp_path / "concepts.md"
    first = lethe.read(*words, "--method", "prompt", "--page", page)
    assert (first["cells"]["measured_now"], first["cells"]["left"]) == (3, 0)
    (one,) = first["concepts"]
    assert (one["kind"], one["titles"], one["oracles"]) == ("title", ["Film number 7"], [])
    assert "# Concepts forgotten inside the model" in page.read_text()
    again = lethe.ok(*words, "--method", "prompt")
    assert "Film number 7 (title, 1 items; no oracle)" in again.out
    assert re.search(r"^prompt +1 ", again.out, flags=re.MULTILINE)
    left = lethe(*words, "--method", "prompt", "--method", "ablation", "--minutes", 0)
    assert left.status == 75
    assert "1 cells left" in left.err
    replicated = lethe.read(*words, "--method", "prompt", "--replicate", models[1])
    assert replicated["cells"]["measured_now"] == 1
    assert len(replicated["concepts"][0]["replicates"]) == 1
    assert lethe(*words, "--replicate", tmp_path / "nowhere").status == 2
    refused = lethe(*words, "--oracle", "Film number 7=nowhere")
    assert refused.status != 0
    assert "NAME=DIR" in refused.err
