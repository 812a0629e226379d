"""A cell: what a method is given, what people are asked, and what is kept of it."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from db.errors import LetheError
from db.records import Split
from pipelines.evaluate import run as runs
from pipelines.evaluate.answers import CUTOFFS, DEPTH, METRICS, answer
from pipelines.evaluate.cells import CELL, PEOPLE
from pipelines.evaluate.methods import METHODS, Method
from pipelines.evaluate.protocols import protocol
from pipelines.evaluate.run import load_cells, plan, run
from pipelines.evaluate.spec import Spec
from pipelines.evaluate.split import with_split
from recsys.ease import EaseFitter, EaseSettings
from recsys.heldout import held_out, served
from recsys.popularity import PopularityFitter
from tests.pipelines.evaluations import grid, lab_of, no_bars, pairs, spying, toy_data


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """EASE under two protocols, each by four methods."""
    lab = lab_of(tmp_path_factory.mktemp("cells"))
    outcome = run(lab, grid("shield", "retrain", "downdate", protocols=("users-5", "interactions-10")))
    return lab, outcome, load_cells(lab, outcome.specs)


def one(cells, method, protocol_name="users-5"):
    (cell,) = [c for c in cells if (c.method, c.protocol, c.seed) == (method, protocol_name, 0)]
    return cell


def rows(cell, phase="after", view="served"):
    return cell.people.filter((pl.col("phase") == phase) & (pl.col("view") == view)).sort("row")


def test_every_cell_is_measured_once(measured):
    lab, outcome, cells = measured
    assert outcome.done.measured == len(outcome.specs) == len(cells) == 2 * (3 + 4)
    again = run(lab, grid("shield", "retrain", "downdate", protocols=("users-5", "interactions-10")))
    assert (again.done.measured, again.done.skipped, again.done.left) == (0, 14, 0)


def test_figures_are_those_of_the_served_path(measured):
    lab, _, cells = measured
    world = lab.world(Spec("", "ease", {}, protocol("users-5", 0), "", 0))
    settings = EaseSettings(plan(lab, grid())[0][0].settings["regularisation"])
    model = EaseFitter(settings).fit(world.training_after(1))
    for k in CUTOFFS:
        expected = served(model, world.after.questions, k)
        found = rows(one(cells, "retrain")).filter(pl.col("group") != "forgotten")
        assert found["row"].to_list() == world.after.questions.people.tolist()
        np.testing.assert_allclose(found[f"ndcg@{k}"], expected.ndcg)
        np.testing.assert_allclose(found[f"hit_rate@{k}"], expected.hit_rate)
        np.testing.assert_allclose(found[f"recall@{k}"], expected.recall)


def test_no_forgotten_person_is_a_silent_row_of_zeros(measured):
    lab, _, cells = measured
    world = lab.world(Spec("", "ease", {}, protocol("users-5", 0), "", 0))
    asked = sorted(set(world.forgetting.people) & set(world.before.questions.people))
    for method in ("oracle", "shield", "retrain", "downdate"):
        gone = rows(one(cells, method)).filter(pl.col("group") == "forgotten")
        assert gone["row"].to_list() == asked
        assert set(gone["origin"]) == {"popularity"}
        assert not gone["warm"].any()
        back = rows(one(cells, method), view="returned")
        assert back["row"].to_list() == asked
        assert set(back["origin"]) == {"backbone"}
    still = rows(one(cells, "none")).filter(pl.col("group") == "forgotten")
    assert set(still["origin"]) == {"backbone"}, "whoever is not forgotten is served from the history"


def test_no_forgetting_serves_what_it_served_before(measured):
    none = one(measured[2], "none")
    assert rows(none)["list"].to_list() == rows(none, phase="before")["list"].to_list()
    shield = one(measured[2], "shield")
    assert rows(shield, phase="before")["list"].to_list() == rows(none, phase="before")["list"].to_list()
    assert rows(shield, view="returned")["list"].to_list() == rows(none, view="returned")["list"].to_list(), (
        "the model behind the shield has forgotten nothing"
    )


def test_exact_methods_of_a_deterministic_backbone_equal_the_oracle(measured):
    for name in ("users-5", "interactions-10"):
        for view in ("served", "returned"):
            expected = rows(one(measured[2], "oracle", name), view=view)["list"].to_list()
            assert rows(one(measured[2], "downdate", name), view=view)["list"].to_list() == expected
            assert rows(one(measured[2], "retrain", name), view=view)["list"].to_list() == expected
        assert one(measured[2], "downdate", name).facts["score_gap"] < 1e-5
        assert one(measured[2], "downdate", name).facts["exact"]
        assert not one(measured[2], "shield", name).facts["exact"]
    shielded = rows(one(measured[2], "shield"), view="returned")["list"].to_list()
    assert shielded != rows(one(measured[2], "oracle"), view="returned")["list"].to_list()


def test_the_method_sees_training_rows_alone_and_a_fresh_seed_each_time(tmp_path):
    methods, spies = spying()
    data = toy_data()
    lab = lab_of(tmp_path, data, methods)
    outcome = run(lab, grid("spy", protocols=("sequence-10",)))
    (spy,) = spies
    (fitted, seed), training = spy.fitted[0], data.log.only(Split.TRAIN)
    assert pairs(fitted) == pairs(training)
    assert len(spy.calls) == 10
    left = pairs(training)
    for before, after, _ in spy.calls:
        assert pairs(before) == left
        assert len({user for user, _ in left - pairs(after)}) == 1
        left = pairs(after)
    assert not left & pairs(lab.world(outcome.specs[0]).forgetting.forgotten(data.log))
    assert len({seed, *(one[2] for one in spy.calls)}) == 11
    cell = next(c for c in load_cells(lab, outcome.specs) if c.method == "spy")
    assert len(cell.facts["forget_seconds"]) == len(cell.facts["hide_seconds"]) == 10
    assert cell.facts["method"] == {"call": 10}
    assert cell.facts["score_gap"] == 0


def test_a_method_that_returns_another_model_does_not_touch_the_next_one(tmp_path):
    """Downdating works in place; the shield after it must still start from the whole model."""
    lab = lab_of(tmp_path)
    outcome = run(lab, grid("downdate", "shield"))
    cells = load_cells(lab, outcome.specs)
    order = [c.method for c in cells]
    assert order.index("downdate") < order.index("shield")
    assert rows(one(cells, "shield"), phase="before")["list"].to_list() == (
        rows(one(cells, "none"), phase="before")["list"].to_list()
    )


def test_people_without_a_history_get_popularity_and_are_told_apart():
    log = toy_data().log
    cold = log.user < 5
    late = replace(log, split=np.where(cold, 2, log.split).astype(np.uint8))
    asked = held_out(late, Split.TEST)
    training = late.only(Split.TRAIN)
    floor = PopularityFitter().fit(training)
    found = answer(EaseFitter().fit(training), floor, asked)
    assert found.origin[:5].tolist() == ["popularity"] * 5
    assert set(found.origin[5:]) == {"backbone"}
    best = floor.fallback([asked.exclude[0]], DEPTH)[0].rows
    assert found.lists[0][: len(best)].tolist() == best.tolist()


def test_a_cell_is_keyed_by_everything_that_determines_it():
    spec = Spec("s", "ease", {"regularisation": 2.0}, protocol("users-5", 0), "shield", 0)
    others = [
        replace(spec, split="t"),
        replace(spec, backbone="bpr"),
        replace(spec, settings={"regularisation": 3.0}),
        replace(spec, protocol=protocol("users-5", 1)),
        replace(spec, protocol=protocol("users-1", 0)),
        replace(spec, method="retrain"),
        replace(spec, seed=1),
        replace(spec, rerank={"weight": 0.3}),
    ]
    assert len({spec.key, *(other.key for other in others)}) == 9
    assert replace(spec).key == spec.key
    assert len(spec.name) <= 64


def test_what_is_kept_can_be_read_by_anybody(measured):
    lab, outcome, _ = measured
    folder = lab.keeper.find(outcome.specs[-1].name)
    people = pl.read_parquet(folder / PEOPLE)
    assert set(METRICS) <= set(people.columns)
    assert people["list"].dtype == pl.Array(pl.Int32, DEPTH)
    assert set(people["user"]) <= set(lab.data.log.users)
    document = json.loads((folder / CELL).read_text())
    assert document["key"] == outcome.specs[-1].key
    assert document["spec"]["split"] == lab.data.split.id
    assert document["machine"]["cores"] >= 1
    assert document["facts"]["fit"]["peak_mb"] > 1


def test_a_killed_run_leaves_no_half_cell(tmp_path, monkeypatch):
    lab, wanted = lab_of(tmp_path), grid("shield")
    kept = runs.cells.keep
    calls = []

    def killed(*given, **named):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        kept(*given, **named)

    monkeypatch.setattr(runs.cells, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run(lab, wanted)
    monkeypatch.undo()
    rest = run(lab_of(tmp_path), wanted)
    assert (rest.done.skipped, rest.done.measured, rest.done.left) == (2, 3, 0)


def test_a_run_ends_in_time_after_a_whole_cell(tmp_path, monkeypatch):
    clock, kept = [0.0], runs.cells.keep
    monkeypatch.setattr("pipelines.evaluate.tasks.time.monotonic", lambda: clock[0])

    def slow(*given, **named):
        kept(*given, **named)
        clock[0] += 100.0

    monkeypatch.setattr(runs.cells, "keep", slow)
    first = run(lab_of(tmp_path), grid(oracles=6), minutes=6)
    assert (first.done.measured, first.done.left) == (3, 4), "a fourth oracle would end after 400 of 360 seconds"
    assert run(lab_of(tmp_path), grid(oracles=6), minutes=60).done.left == 0


def test_a_method_that_fails_is_told_and_the_others_go_on(tmp_path):
    class Broken:
        name = "broken"

        def fit(self, log, *, seed, progress=None):
            raise LetheError("the solver made no progress")

    methods = {**METHODS, "broken": Method("broken", ("ease",), lambda fitting: Broken(), plain_fit=False)}
    lab = lab_of(tmp_path, methods=methods)
    outcome = run(lab, grid("broken", "shield"))
    ((name, error),) = outcome.done.failed
    assert name.startswith("ease-broken-users-5")
    assert error == "the solver made no progress"
    assert {c.method for c in load_cells(lab, outcome.specs)} == {"oracle", "none", "shield"}


def test_pairs_that_do_not_exist_are_left_out_and_named(tmp_path):
    specs, missing = plan(lab_of(tmp_path), grid("downdate", "sisa", backbones=("ease", "popularity")))
    assert missing == ["ease/sisa", "popularity/downdate", "popularity/sisa"]
    assert {(s.backbone, s.method) for s in specs} >= {("ease", "downdate"), ("popularity", "none")}
    with pytest.raises(LetheError, match="method 'amnesia' is unknown"):
        plan(lab_of(tmp_path), grid("amnesia"))
    with pytest.raises(LetheError, match="at least 1 seed and 3 oracles"):
        grid(oracles=2)


def test_without_validation_rows_the_defaults_are_kept(tmp_path):
    log = toy_data().log
    whole = replace(log, split=np.where(log.split == 1, 0, log.split).astype(np.uint8))
    lab = lab_of(tmp_path, with_split(whole, "published", {}, epoch=0))
    assert plan(lab, grid())[0][0].settings == {"regularisation": EaseSettings().regularisation}


def test_bars_are_closed(tmp_path):
    assert no_bars("x").__enter__()(1, 2) is None


def test_grids_are_measured_in_their_order_and_what_they_share_once(tmp_path):
    lab, labels = lab_of(tmp_path), []

    def bars(label):
        labels.append(label)
        return no_bars(label)

    lab.bars = bars
    first, whole = grid("shield"), grid("shield", "downdate", seeds=2, oracles=4)
    outcome = runs.run(lab, first, whole)
    assert outcome.done.measured == len(outcome.specs) == len({spec.name for spec in outcome.specs}) == 4 + 2 * 3
    cells = [label.split(" ", 1)[1] for label in labels if "/" in label]
    assert cells[:5] == [
        *(f"ease users-5 oracle seed {seed}" for seed in range(3)),
        "ease users-5 none seed 0",
        "ease users-5 shield seed 0",
    ]
    assert cells[5] == "ease users-5 oracle seed 3"


def test_lists_are_re_ranked_under_the_protocols_and_seeds_that_are_named():
    every = grid()
    assert every.reranks("users-5", "shield", 7)
    some = replace(every, reranked=("users-5",), reranked_seeds=1)
    told = [some.reranks("users-5", name, seed) for name in ("oracle", "shield") for seed in (0, 1, 2, 3)]
    assert told == [True, True, True, False, True, False, False, False]
    assert not some.reranks("users-1", "shield", 0)


def test_protocols_share_the_fits_of_methods_that_fit_otherwise(tmp_path):
    methods, spies = spying()
    run(lab_of(tmp_path, methods=methods), grid("spy", protocols=("users-5", "interactions-10"), seeds=2))
    assert len([fitted for spy in spies for fitted in spy.fitted]) == 2, "one for each seed"


def test_given_settings_are_not_chosen(tmp_path):
    lab = lab_of(tmp_path, settings={"ease": {"regularisation": 77.0}})
    assert {spec.settings["regularisation"] for spec in plan(lab, grid("shield"))[0]} == {77.0}
