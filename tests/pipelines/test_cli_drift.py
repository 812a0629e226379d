"""`lethe drift` on a store: it goes on where it ended, leaves nothing unrecorded, and shows forgotten concepts."""

import json

import polars as pl
import pytest

from db import artifacts
from db.jobs import exports_before
from pipelines.concepts import unlearn
from pipelines.drift import residual
from pipelines.drift.instances import Kind
from tests.pipelines.commands import SOMEBODY
from tests.pipelines.test_concept_model import made_up
from tests.pipelines.test_residual import frame as gaps_of
from unlearning.audit.residue import needle, scan

FEW = ("drift", "--users", 2, "--requests", 1, "--candidates", 4, "--draws", 1, "--scorer", "packed")


def test_lethe_tiny_before_and_after_a_concept_on_a_page_that_can_be_made_again(lethe, tmp_path, monkeypatch):
    monkeypatch.setattr(unlearn, "fit", made_up())
    lethe.ok("forget", "concept", "Horror", "--layer", "model", "--yes")
    out = tmp_path / "out"
    found = lethe.read(*FEW, "--out", out)
    (table,) = found["tables"]
    assert [one["model"] for one in table["models"]] == ["base", "without Horror"]
    orders = [row for one in table["models"] for row in one["rows"] if row["kind"] == "candidate order"]
    assert [row["tau"]["mean"] for row in orders] == [1, 1], "packed judges each candidate by itself"
    rows = pl.read_parquet(out / "drift.parquet")
    served = rows.filter(pl.col("kind") == "as served").partition_by("model")
    assert served[0]["scores"].to_list() != served[1]["scores"].to_list(), "the adapter acts"
    assert table["models"][1]["moved"]["tau"]["mean"] <= 1
    assert set(rows["model"]) == {"base", "without Horror"}
    told = next(row for row in table["models"][1]["rows"] if row["kind"] == "paraphrase")
    own = rows.filter((pl.col("model") == "without Horror") & (pl.col("kind") == "paraphrase"))
    assert own.group_by("person").agg(pl.col("tau").mean())["tau"].mean() == pytest.approx(told["tau"]["mean"])
    summary = json.loads((out / "drift.json").read_text())
    assert summary["tables"] == found["tables"]
    assert set(summary["made"]) >= {"command", "machine", "when"}
    assert "# Drift under other words" in (out / "drift.md").read_text()
    assert "packed.svg" in {path.name for path in (out / "drift").iterdir()}
    again = lethe.read(*FEW)
    assert again["cells"]["measured_now"] == 0
    assert again["tables"] == found["tables"]


def test_what_is_kept_and_exported_is_known_to_an_erase_and_names_nobody(lethe, tmp_path):
    out = tmp_path / "out"
    assert "packed, base" in lethe.ok(*FEW, "--out", out).out
    with lethe.store.reading() as unit:
        kept = [one for one in artifacts.all_on_disk(unit) if one.name.startswith("drift-packed")]
        assert exports_before(unit, 10**6) == [str((out / "drift.parquet").resolve())]
    assert len(kept) == len(Kind)
    assert [one for one in scan(out, [needle(SOMEBODY)]) if not one.path.endswith(".svg")] == []
    lethe.ok("forget", "user", SOMEBODY)
    with lethe.store.reading() as unit:
        live = {one.id for one in artifacts.all_on_disk(unit) if one.state == artifacts.LIVE}
    assert not live & {one.id for one in kept}


def test_what_is_left_of_taste_is_written_into_a_folder_that_is_not_there_yet(lethe, tmp_path, monkeypatch):
    monkeypatch.setattr(residual, "residual", lambda *_given, **_named: gaps_of())
    out = tmp_path / "deep" / "out"
    found = lethe.read(*FEW, "--taste", "--out", out)
    assert [one["asked"] for one in found["residual"]] == pl.read_parquet(out / "taste.parquet")["asked"].unique(
        maintain_order=True
    ).to_list()
    with lethe.store.reading() as unit:
        written = {str((out / name).resolve()) for name in ("drift.parquet", "taste.parquet")}
        assert set(exports_before(unit, 10**6)) == written


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scorer", "best"), "scorer 'best' is unknown: choose among packed, listwise, generate, free"),
        (("--users", 500), "give --users"),
        (("--p", 1.5), "--p 1.5"),
        (("--split", "mine"), "split 'mine' is unknown"),
        (("--model", "nowhere/at/all"), "no such folder"),
        (("--candidates", 60), "fewer --requests or --candidates"),
    ],
)
def test_bad_input_is_one_line(lethe, words, told):
    refused = lethe("drift", "--quick", *words)
    assert refused.status == 1
    assert refused.err.strip().count("\n") == 0
    assert told in refused.err


def test_out_lies_outside_the_root_and_is_no_file(lethe, tmp_path):
    (tmp_path / "file").write_text("")
    for out, told in ((lethe.root / "drift", "inside the root"), (tmp_path / "file", "is a file")):
        refused = lethe(*FEW, "--out", out)
        assert refused.status == 1
        assert told in refused.err


def test_without_time_cells_are_left(lethe):
    left = lethe(*FEW, "--minutes", 0)
    assert left.status == 75
    assert f"{len(Kind)} cells left" in left.err
