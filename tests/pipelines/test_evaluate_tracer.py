"""`lethe evaluate tracer`: its questions and figures by hand, its cells kept and read back, its page."""

import re
import shlex
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import numpy as np
import polars as pl
import pytest

from db.records import Item
from pipelines.evaluate.keep import FolderKeeper
from pipelines.evaluate.page import About
from pipelines.evaluate.run import machine
from pipelines.evaluate_tracer import measure, page
from pipelines.evaluate_tracer.cells import Kept
from pipelines.evaluate_tracer.data import Rows, digest
from pipelines.evaluate_tracer.run import Grid, Lab, quick, run
from pipelines.evaluate_tracer.spec import BASE, ORACLE, Spec
from pipelines.evaluate_tracer.summary import of_cells, summarise
from recsys.heldout import last_out
from recsys.semantic_ids.codes import numbered
from tests.pipelines.commands import SOMEBODY, forgotten
from tests.recsys.toy import camps, log_of
from tests.unlearning.tokens.test_tracer import FEW, ITEMS, SETTINGS, USERS, texts
from unlearning.tokens import relearn

METHODS = ("tracer", "grad-diff", "suppression", "trie-removal")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    log, questions = last_out(camps(USERS, ITEMS))
    goods = tuple(
        Item(item, f"Film {n}", 1990, ("Noir",) if n in (0, 2, 4, 6) else ("Drama",))
        for n, item in enumerate(log.items)
    )
    rows = Rows(1, digest(log, questions), goods, texts(), log, questions)

    @contextmanager
    def _silent(label):
        yield lambda done, total: None

    return Lab(rows, FolderKeeper(tmp_path_factory.mktemp("cells")), _silent)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid(("noir",), METHODS, 1, 25, replace(SETTINGS, epochs=3), replace(FEW, steps=4))


@pytest.fixture(scope="module")
def outcome(lab, grid):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relearn, "AT", (0, 1, 4))
        return run(lab, grid)


def test_the_last_row_of_a_person_is_asked_for_and_trained_on_by_nobody():
    log = log_of([(0, 3), (1, 1), (0, 2), (1, 0), (0, 1), (2, 2), (1, 1)], users=4, items=4)
    kept, questions = last_out(log)
    assert [h.tolist() for h in kept.histories()] == [[3, 2], [1, 0], [2], []]
    assert questions.people.tolist() == [0]  # the last item of the second was met before, the third has no other
    assert (questions.histories[0].tolist(), questions.relevant[0].tolist()) == ([3, 2], [1])
    other = log_of([(0, 3), (1, 1), (0, 1), (1, 0), (0, 2), (2, 2), (1, 1)], users=4, items=4)
    assert digest(*last_out(log)) != digest(*last_out(other))


def test_entanglement_by_hand():
    table = numbered(np.array([[0, 0], [0, 1], [0, 0], [1, 1], [2, 1]]), width=3, digits=3)
    # of the items beside {0, 3}: code 0 of the first level in 2 of 3, code 1 in none; second level 1 of 3, and 2 of 3
    assert measure.entanglement(table, np.array([0, 3])) == pytest.approx((2 / 3 + 0 + 1 / 3 + 2 / 3) / 4)


def test_every_cell_is_measured_once(lab, grid, outcome):
    assert (outcome.done.measured, outcome.done.left, outcome.done.failed) == (1 + 2 + len(METHODS), 0, ())
    again = run(lab, grid)
    assert (again.done.measured, again.done.skipped) == (0, 1 + 2 + len(METHODS))
    assert run(lab, replace(grid, settings=replace(grid.settings, steps=5)), minutes=0).done.left == 2 + len(METHODS)


def test_figures_of_the_whole_are_shares_and_the_trie_arm_shows_nothing(lab, grid, outcome):
    found = summarise(lab, grid, outcome)
    rows = {row["method"]: row for row in found["concepts"][0]["rows"]}
    assert list(rows) == [BASE, ORACLE, *METHODS]
    for row in rows.values():
        assert all(0 <= span["mean"] <= 1 + 1e-6 for span in row["measures"].values())
        assert [step for step, _ in row["relearned"]] == [0, 1, 4]
    assert rows[BASE]["of_before"]["mean"] == pytest.approx(1.0)
    assert rows["trie-removal"]["measures"]["exposure"]["mean"] == 0.0
    assert rows["trie-removal"]["measures"]["mass"]["mean"] == 0.0
    assert rows["trie-removal"]["measures"]["old mass"] == rows[BASE]["measures"]["old mass"]
    assert rows["suppression"]["measures"]["mass"]["mean"] < rows[BASE]["measures"]["mass"]["mean"]
    assert rows[ORACLE]["figures"]["moved"] == 0.0
    assert found["concepts"][0]["titles"] == ["Film 0", "Film 2", "Film 4", "Film 6"]


def cell(method, seed, exposure, ndcg, of=("other", "concept", "near")):
    rows = {"person": [0, 1, 2], "of": list(of), "exposure": exposure, "ndcg": ndcg, "recall": ndcg}
    rows |= {key: [0.0, 0.0, 0.0] for key in ("free exposure", "mass", "free mass", "old mass")}
    spec = Spec("r", "c", (0,), method, seed, {}, {}, 3)
    return Kept(spec, {"moved": 0.5, "relearned": [[0, 0.1], [5, 0.2 + seed]]}, pl.DataFrame(rows))


def test_seeds_are_averaged_by_person_and_methods_are_held_to_the_oracle():
    kept = [
        cell(BASE, 0, [0.4, 0.4, 0.4], [1.0, 0.0, 0.5]),
        cell(BASE, 1, [0.2, 0.2, 0.2], [0.5, 0.0, 0.0]),
        cell(ORACLE, 0, [0.1, 0.1, 0.1], [1.0, 0.0, 0.5]),
        cell("tracer", 0, [0.1, 0.1, 0.1], [1.0, 1.0, 0.48]),
    ]
    base, oracle, tracer = of_cells(kept)
    assert base["measures"]["exposure"]["mean"] == pytest.approx(0.3)
    assert base["ndcg"]["mean"] == pytest.approx((0.75 + 0.25) / 2)  # the one whose item is of the concept is left out
    assert base["near"]["mean"] == pytest.approx(0.25)
    assert base["relearned"] == [[0.0, pytest.approx(0.1)], [5.0, pytest.approx(0.7)]]
    assert tracer["of_before"]["mean"] == pytest.approx(1.48 / 1.5)  # beside the same seed alone
    assert [(one["forgotten"], one["kept"]) for one in (base, oracle, tracer)] == [
        (False, True),
        (True, True),
        (True, True),
    ]


def test_the_page_says_that_it_is_a_reconstruction_and_draws_both_pictures(lab, grid, outcome, tmp_path):
    about = About(datetime(2026, 1, 1, tzinfo=UTC), "lethe evaluate tracer", machine(), "Ids")
    page.write(tmp_path / "tracer.md", about, summarise(lab, quick(grid), outcome))
    text = (tmp_path / "tracer.md").read_text(encoding="utf-8")
    assert "A reconstruction" in text
    assert "its figures are no results" in text.lower()
    assert all(f"| {method} |" in text for method in (BASE, ORACLE, *METHODS))
    assert {path.name for path in (tmp_path / "tracer").iterdir()} == {"0-tradeoff.svg", "0-relearning.svg"}


def test_a_quick_grid_is_smaller():
    small = quick(Grid())
    assert (len(small.concepts), small.seeds, small.model.epochs < Grid().model.epochs) == (1, 1, True)


def reported(lethe, folder) -> str:
    lethe.ok("report", "--out", folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_command_keeps_its_cells_in_the_store_until_a_request(lethe, monkeypatch, tmp_path):
    monkeypatch.setattr("pipelines.evaluate_tracer.run.SEMANTIC_SETTINGS", replace(SETTINGS, digits=30))
    monkeypatch.setattr(relearn, "AT", (0, 1))
    words = ("evaluate", "tracer", "--quick", "--concept", "Horror", "--method", "trie-removal", "--people", 8)
    words = (*words, "--epochs", 1, "--page", tmp_path / "tracer.md")
    found = lethe.read(*words)
    assert [row["method"] for row in found["concepts"][0]["rows"]] == [BASE, ORACLE, "trie-removal"]
    assert (found["cells"]["measured_now"], found["quick"]) == (4, True)
    assert (tmp_path / "tracer.md").exists()
    assert lethe.read(*words)["cells"]["measured_now"] == 0
    text = reported(lethe, tmp_path)
    typed = unescape(re.search(r"<code>(lethe evaluate tracer --concept [^<]*)</code>", text).group(1))
    again = lethe.read(*shlex.split(typed)[1:])
    assert (again["cells"]["measured_now"], again["concepts"]) == (0, found["concepts"])
    section = text.partition("Ways to forget Horror in the generative recommender, a quick run")[2]
    for row in found["concepts"][0]["rows"]:
        assert f">{row['method']}</th>" in section
        assert f"{row['measures']['exposure']['mean']:.5f}" in section
    assert section.count("<figure") >= 2
    forgotten(lethe, SOMEBODY)
    assert "Ways to forget Horror" not in reported(lethe, tmp_path)
    refused = lethe("evaluate", "tracer", "--quick", "--concept", "Nothing of the kind")
    assert refused.status == 1
    assert "Nothing of the kind" in refused.err
    assert lethe.read(*words)["cells"]["measured_now"] == 4
