"""`python -m benchmarks.forget_times`: real erases on a small store, and what the figures are made into."""

import json
from functools import partial

import pytest

from benchmarks import forget_times
from benchmarks.forget_times import Figures, copied, erased, people, ratios, retrained, shielded

PARTS = ("rebuild", "audit", "purge", "vacuum", "residue", "certify")


def test_the_parts_of_a_real_erase_make_up_the_whole(lethe, tmp_path):
    with copied(lethe.root, tmp_path) as store:
        row = erased(store, 3, seed=1)
        assert len(people(store, 37, seed=0)) == 37, "three are gone, and no more"
    assert sum(row[part] for part in PARTS) == pytest.approx(row["seconds"], abs=0.2)
    assert min(row[part] for part in PARTS) >= 0
    assert 0 < row["fit"] < row["rebuild"]
    assert row["interactions"] > 0
    assert len(people(lethe.store, 40, seed=0)) == 40, "the store itself is as it was"
    assert [path.name for path in tmp_path.glob("copy-*")] == []


def test_shielding_hides_one_person_a_time_and_retraining_leaves_the_store(lethe, tmp_path):
    with copied(lethe.root, tmp_path) as store:
        row = shielded(store, 4, seed=1)
        assert len(row["runs"]) == 4
        assert len(people(store, 36, seed=0)) == 36
        assert retrained(store, "ease")["seconds"] > 0
        with pytest.raises(SystemExit, match="no lightgcn"):
            retrained(store, "lightgcn")


def test_what_is_kept_is_not_measured_again(tmp_path):
    out = tmp_path / "times.json"
    Figures(out).of("a", lambda: {"seconds": 1.5})
    assert Figures(out).of("a", partial(pytest.fail, "measured twice")) == {"seconds": 1.5}
    assert json.loads(out.read_text()) == {"a": {"seconds": 1.5}}


def test_ratios_take_the_fastest_round_and_state_the_claims():
    rows = {
        "erase/lightgcn/1/0": {"seconds": 80.0, "fit": 70.0},
        "erase/lightgcn/100/0": {"seconds": 100.0, "fit": 85.0},
        "erase/lightgcn/100/1": {"seconds": 120.0, "fit": 70.0},
        "retrain/lightgcn": {"seconds": 30.0},
        "shield/in process": {"median": 0.02},
        "shield/command": {"median": 0.5},
        "downdate": {
            "gram_and_inverse_s": 2.0,
            "update_mean_s": 0.004,
            "load_s": 0.1,
            "write_s": 0.096,
            "deletions": 600,
            "all_at_once_s": 0.5,
        },
    }
    assert ratios(rows) == {
        "lightgcn: 100 requests together over one": (1.25, "at most 1.5"),
        "lightgcn: the same without the fits": (1.5, ""),
        "lightgcn: retraining over shielding, in process": (1500.0, "at least 1,000"),
        "lightgcn: retraining over shielding, command": (60.0, "at least 20"),
        "downdate: refit over one person's update": (500.0, "at least 300"),
        "downdate: refit over loading, update and durable write": (pytest.approx(10.0), ""),
        "downdate: refit over a person's part of all at once": (2400.0, ""),
    }


def test_the_whole_of_it_runs_in_a_minute_and_keeps_its_stores(lethe, tmp_path, monkeypatch, capsys):
    """With a store that is there already, and without the downdates of ml-100k."""
    work, out = tmp_path / "work", tmp_path / "times.json"
    work.mkdir()
    lethe.root.rename(work / "ease")
    (work / "ease.whole").touch()
    down = {"gram_and_inverse_s": 1.0, "update_mean_s": 1.0, "load_s": 1.0, "write_s": 1.0}
    monkeypatch.setattr(forget_times, "_downdates", lambda given: {**down, "deletions": 1, "all_at_once_s": 1.0})
    monkeypatch.setattr("sys.argv", ["forget_times", "--quick", "--work", str(work), "--out", str(out)])
    forget_times.main()
    kept = json.loads(out.read_text())
    assert kept["ratios"].keys() <= {line[:56].strip() for line in capsys.readouterr().out.splitlines()}
    assert {"erase/ease/1/0", "erase/ease/20/0", "shield/command", "retrain/ease"} < kept.keys()
