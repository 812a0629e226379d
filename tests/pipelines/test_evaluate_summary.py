"""The tables: figures worked out by hand, limits set by the oracles, and what has to fail fails."""

import json

import numpy as np
import pytest

from pipelines.cli.evaluate import told
from pipelines.cli.output import plain
from pipelines.evaluate.bootstrap import Resampling
from pipelines.evaluate.cells import Cell
from pipelines.evaluate.methods import METHODS, Fitting, Method
from pipelines.evaluate.panel import Panel
from pipelines.evaluate.run import load_cells, run
from pipelines.evaluate.summary import summarise
from pipelines.evaluate.times import times
from recsys.metrics import paired_bootstrap
from tests.fakes import FakeDenseBackbone
from tests.pipelines.evaluations import grid, lab_of, rng, toy_data
from unlearning.data.base import Forgotten


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """EASE for 120 people, 5% of whom are forgotten."""
    lab = lab_of(tmp_path_factory.mktemp("cells"), toy_data(users=120, items=60, each=20))
    outcome = run(lab, grid("shield", "downdate", "retrain", seeds=2))
    return lab, outcome, summarise(lab, outcome)


def row(document, method, table=0):
    (one,) = [r for r in document["tables"][table]["rows"] if r["method"] == method]
    return one


def test_the_interval_is_that_of_resampled_people():
    new, old = rng(1).normal(0.3, 0.1, 80), rng(2).normal(0.25, 0.1, 80)
    difference, ratio = Resampling(80, seed=0).compared(new, old)
    slow = paired_bootstrap(new, old, seed=5, draws=4000)
    assert difference.mean == pytest.approx(slow.mean)
    assert difference.low == pytest.approx(slow.low, abs=0.003)
    assert difference.high == pytest.approx(slow.high, abs=0.003)
    assert ratio.mean == pytest.approx(new.mean() / old.mean())
    assert ratio.low < ratio.mean < ratio.high


def test_equal_values_have_an_interval_of_no_width_and_draws_do_not_depend_on_columns():
    values = rng().random((30, 3))
    resampling = Resampling(30, seed=4, draws=300)
    difference, ratio = resampling.compared(values[:, 0], values[:, 0])
    assert (difference.low, difference.high) == (0.0, 0.0)
    assert (ratio.low, ratio.high) == (1.0, 1.0)
    np.testing.assert_allclose(resampling.means(values)[:, :1], resampling.means(values[:, :1]))
    with pytest.raises(ValueError, match="31 values for 30 people"):
        resampling.means(rng().random((31, 1)))


def test_exact_methods_meet_the_limit_and_no_forgetting_fails_every_column(found):
    _, _, document = found
    for method in ("downdate", "retrain"):
        good = row(document, method)
        assert good["grade"] == "exact"
        assert good["utility"]["ratio"]["mean"] == pytest.approx(1.0)
        assert all(column["good"] and column["passed"] == 2 for column in good["completeness"].values())
        assert good["score_gap"] < 1e-4
        assert good["utility"]["within_spread"]
        assert all(one["change"] == pytest.approx(one["oracle_change"], abs=1e-12) for one in good["bias"])
    for method in ("none", "shield"):
        bad = row(document, method)
        for who in ("neighbours", "random"):
            column = bad["completeness"][f"oracle-rbo {who}"]
            assert not column["good"]
            assert column["value"] > column["limit"] == pytest.approx(0, abs=1e-9)
            assert column["value"] <= column["control"] + 1e-12
    assert "oracle-jaccard@10 neighbours" in row(document, "none")["completeness"]
    assert not row(document, "oracle")["completeness"]
    assert document["tables"][0]["rows"][0]["method"] == "oracle"


def test_means_and_spreads_are_those_of_the_cells(found):
    lab, outcome, document = found
    cells = [c for c in load_cells(lab, outcome.specs) if c.method == "shield"]
    stay = [c.people.filter((c.people["phase"] == "after") & (c.people["view"] == "served")) for c in cells]
    means = [frame.filter(frame["group"] != "forgotten")["recall@20"].mean() for frame in stay]
    use = row(document, "shield")["utility"]
    assert use["metrics"]["recall@20"]["mean"] == pytest.approx(np.mean(means))
    assert use["people"] == stay[0].filter(stay[0]["group"] != "forgotten").height
    assert row(document, "shield")["seeds"] == 2
    assert row(document, "oracle")["seeds"] == 3


def test_those_who_asked_are_shown_before_after_and_under_the_oracle(found):
    _, _, document = found
    table = document["tables"][0]
    none, shield, exact = (row(document, method)["asked"] for method in ("none", "shield", "downdate"))
    assert none["people"] == shield["people"] == exact["people"] <= table["forgotten_people"]
    assert none["by_popularity"] == 0
    assert none["after"] == none["before"] == none["returned"]
    assert shield["by_popularity"] == shield["people"]
    assert shield["returned"] == none["returned"], "the shielded model still knows them"
    assert exact["returned"] == pytest.approx(exact["oracle_returned"])
    assert exact["after"] == pytest.approx(exact["oracle_after"])


def test_the_document_is_json_and_its_text_names_every_method(found):
    _, _, document = found
    again = json.loads(json.dumps(plain(document), allow_nan=False))
    text = told(again)
    for word in ("oracle x3", "none x2", "shield", "downdate", "of oracle", document["split"]["id"]):
        assert word in text
    assert next(line for line in text.splitlines() if line.startswith("none")).count("over") >= 2


class Leaky:
    """Forgets rightly, then spoils the scores of half of the items."""

    name = "leaky"

    def __init__(self, fitting: Fitting):
        self._fitting = fitting

    def fit(self, log, *, seed, progress=None):
        return self._fitting.fit(log, seed=seed)

    def forget(self, model, before, after, *, seed, progress=None):
        right = self._fitting.fit(after, seed=seed)
        weights = right.scores([np.array([row]) for row in range(len(after.items))])
        weights[:, ::2] += rng(seed).normal(0, 0.5, weights[:, ::2].shape)
        made = FakeDenseBackbone(weights)
        made.items = after.items
        return Forgotten(made, exact=False)


def test_quality_that_people_lose_who_asked_for_nothing_is_seen(tmp_path):
    methods = {**METHODS, "leaky": Method("leaky", ("ease",), Leaky)}
    lab = lab_of(tmp_path, toy_data(users=120, items=60, each=20), methods)
    document = summarise(lab, run(lab, grid("leaky", "downdate")))
    bias = row(document, "leaky")["completeness"]["bias"]
    assert not bias["good"]
    assert bias["value"] > bias["limit"]
    assert row(document, "downdate")["completeness"]["bias"]["good"]
    assert row(document, "leaky")["utility"]["ratio"]["high"] < 1
    assert row(document, "leaky")["grade"] == "not exact"
    assert not row(document, "leaky")["utility"]["within_spread"]
    strata = {one["stratum"]: one for one in row(document, "leaky")["bias"]}
    assert {"activity 1/4", "popularity 4/4"} <= set(strata)
    assert strata["popularity 4/4"]["change"] < strata["popularity 4/4"]["oracle_change"]
    assert strata["popularity 4/4"]["whose"] == "untouched"


def test_where_everybody_lost_rows_the_bias_is_theirs(tmp_path):
    lab = lab_of(tmp_path, toy_data(users=120, items=60, each=20))
    document = summarise(lab, run(lab, grid("shield", "downdate", protocols=("interactions-10",))))
    assert document["tables"][0]["touched_people"] > 80
    column = row(document, "downdate")["completeness"]["bias"]
    assert column["detail"].startswith("touched people")
    assert column["good"]


def cell(method, seed, run_id, seconds, forget=(), exact=True):
    facts = {"fit": {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_mb": 5.0}, "exact": exact}
    if forget:
        facts |= {"hide_seconds": [0.5] * len(forget), "forget_seconds": list(forget), "forget_peak_mb": 9.0}
        facts |= {"forget_cpu_seconds": list(forget)}
    return Cell("bpr", "sequence-10", method, seed, False, run_id, facts, None)


def test_times_are_compared_within_one_run():
    oracles = [cell("oracle", 0, "a", 10.0), cell("oracle", 1, "b", 30.0)]
    mine = cell("scif", 0, "b", 20.0, (1.0, 2.0, 6.0), exact=False)
    found = times(Panel("bpr", "sequence-10", (*oracles, mine)), "scif")
    assert (found.work, found.per_request, found.shielded, found.erased) == (9.0, 2.0, 1.5, None)
    assert found.retrain == 30.0
    assert found.ratio == pytest.approx(9.0 / (3 * 30.0))
    assert found.cpu_ratio == pytest.approx(9.0 / (3 * 60.0))
    assert found.same_run
    elsewhere = times(Panel("bpr", "sequence-10", (oracles[0], mine)), "scif")
    assert (elsewhere.retrain, elsewhere.same_run) == (10.0, False)
    alone = times(Panel("bpr", "sequence-10", (mine,)), "scif")
    assert (alone.retrain, alone.ratio) == (None, None)
    exact = times(Panel("bpr", "sequence-10", (cell("sisa", 0, "b", 1.0, (2.0,)),)), "sisa")
    assert exact.erased == 2.5
    assert times(Panel("bpr", "sequence-10", tuple(oracles)), "oracle").retrain == 20.0
