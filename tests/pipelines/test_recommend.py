"""Recommendations through the command line: full lists, their origin, resume, and what is never served."""

import json
import sys

import polars as pl
import pytest

from db import artifacts
from db.load import load_log
from pipelines import engine
from pipelines.cli.output import progress
from pipelines.serving import plan_for
from recsys.ease import Ease
from tests.pipelines.commands import ITEMS, OTHER, PEOPLE, SOMEBODY, history


def rows_of(made):
    return [row["item"] for row in made["recommendations"]]


def test_without_a_model_the_order_is_the_backbones(lethe):
    with lethe.store.reading() as unit:
        found, log = artifacts.live(unit, "backbone", "ease"), load_log(unit)
    model = Ease.load(lethe.root / found.path)
    seen = [log.histories()[log.users.index(user)] for user in (SOMEBODY, OTHER)]
    wanted = model.candidates(seen, seen, 10)
    for words in (["--scorer", "off"], ["--scorer", "packed", "--weight", 0]):
        made = lethe.read("recommend", SOMEBODY, OTHER, "--retrieve", "backbone", *words)
        assert [rows_of(one) for one in made] == [[log.items[row] for row in c.rows] for c in wanted]
        assert [one["origin"] for one in made] == ["backbone", "backbone"]


def test_lists_are_full_new_and_without_doubles_and_say_where_they_come_from(lethe):
    summary = lethe.read("recommend", "--all", "--top", 12, "--candidates", 12)
    frame = pl.read_parquet(summary["out"])
    assert summary["rows"] == frame.height == 12 * len(PEOPLE)
    assert frame["user"].unique(maintain_order=True).to_list() == list(PEOPLE)
    for (user,), rows in frame.group_by("user"):
        seen = set(history(lethe, user).items)
        assert rows["rank"].to_list() == list(range(1, 13))
        assert rows["item"].n_unique() == 12
        assert not seen & set(rows["item"])
        assert rows["score"].is_sorted(descending=True)
    assert set(frame["origin"]) <= {"fused", "model", "backbone", "fallback"}
    assert set(frame["source"]) <= {"backbone", "text", "popularity"}
    assert summary["sources"] == dict(sorted(frame["source"].value_counts().iter_rows()))
    assert sum(summary["origins"].values()) == len(PEOPLE)


def test_whoever_has_seen_almost_everything_gets_the_rest(lethe):
    unseen = set(ITEMS) - set(history(lethe, SOMEBODY).items)
    (made,) = lethe.read("recommend", SOMEBODY, "--top", 30, "--candidates", 30)
    assert set(rows_of(made)) == unseen


def test_a_list_does_not_depend_on_who_else_is_asked_for(lethe):
    together = lethe.read("recommend", *PEOPLE[:6])
    alone = [lethe.read("recommend", user)[0] for user in PEOPLE[:6]]
    batch = pl.read_parquet(lethe.read("recommend", "--all")["out"])
    for one, other in zip(together, alone, strict=True):
        assert rows_of(one) == rows_of(other) == batch.filter(pl.col("user") == one["user"])["item"].to_list()


def test_explain_names_the_history_that_was_used(lethe):
    (made,) = lethe.read("recommend", SOMEBODY, "--explain", "--length", 3)
    assert made["history_used"] == list(history(lethe, SOMEBODY).items)[-3:]
    shown = lethe.ok("recommend", SOMEBODY, "--explain", "--length", 3).out
    assert f"from 3 of {len(history(lethe, SOMEBODY))} interactions" in shown


def test_a_batch_that_was_stopped_is_resumed_to_the_same_lists(lethe):
    whole = pl.read_parquet(lethe.read("recommend", "--all")["out"])
    plan = plan_for(lethe.store).model_copy(update={"chunk": 7})
    job, served = engine.start(lethe.store, plan, lethe.root / "again.parquet")

    def stop(done, of):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(lethe.store, job, served, progress=stop)
    assert not (lethe.root / "again.parquet").exists()
    summary = lethe.read("recommend", "--resume", job.id)
    assert pl.read_parquet(summary["out"]).equals(whole)
    assert list((lethe.root / "jobs").iterdir()) == []
    assert lethe("recommend", "--resume", job.id).status == 1


def test_documents_go_to_standard_output_and_progress_to_standard_error(lethe):
    batch = lethe.ok("recommend", "--all", "--json")
    assert batch.json["job"] in batch.err
    assert "recommend (chunks)" in batch.err
    for words in (["status"], ["recommend", SOMEBODY], ["forget", "user", SOMEBODY, "--dry-run"], ["erase"]):
        assert lethe.ok(*words, "--json").json is not None
        assert lethe.ok(*words).err == ""
    assert isinstance(json.loads(lethe("doctor", "--json").out), list)


def test_a_bar_with_a_rate_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("work") as bar:
        bar(3, 3)
    told = capsys.readouterr()
    assert told.out == ""
    assert "work" in told.err
    assert "/s" in told.err


def test_what_was_made_for_an_evaluation_is_not_served(lethe):
    lethe.ok("recommend", SOMEBODY)
    with lethe.store.writing() as unit:
        unit.connection.exec_driver_sql("UPDATE artifacts SET mode = 'evaluation' WHERE kind = 'settings'")
        unit.commit()
    refused = lethe("recommend", SOMEBODY)
    assert refused.status == 1
    assert "nothing is trained" in refused.err


def test_the_embedded_model_takes_part(lethe):
    """Through the packed scorer, with a weight that is given: validation may well choose 0 on made-up films."""
    words = ("recommend", SOMEBODY, OTHER, "--scorer", "packed", "--candidates", 12)
    fused, alone = lethe.read(*words, "--weight", 0.5), lethe.read(*words, "--weight", 0)
    assert {one["origin"] for one in fused} == {"fused"}
    for one, other in zip(fused, alone, strict=True):
        assert len(set(rows_of(one))) == 10
        assert not set(rows_of(one)) & set(history(lethe, one["user"]).items)
        assert [row["score"] for row in one["recommendations"]] != [row["score"] for row in other["recommendations"]]
    judged = lethe.read(*words, "--weight", 1)
    assert {one["origin"] for one in judged} == {"model"}
    assert [rows_of(one) for one in judged] != [rows_of(other) for other in alone]
    assert lethe.read(*words, "--weight", 0.5) == fused
