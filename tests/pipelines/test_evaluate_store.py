"""Evaluations of a store: one split for one data epoch, and nothing that outlives the people in it."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sqlalchemy import update

from db import artifacts, files
from db.errors import LetheError, NotFinishedError, StoreBusyError
from db.records import Mode, Split
from db.schema import interactions
from pipelines.evaluate.data import ROWS, read
from pipelines.evaluate.keep import StoreKeeper
from pipelines.evaluate.methods import METHODS
from pipelines.evaluate.run import Lab, plan, run
from pipelines.evaluate.split import NAMES, PAPER, Data, ResplitError, paper_split, resplit
from recsys.splits import SplitRecipe
from tests.pipelines.commands import SOMEBODY, erased, forgotten
from tests.pipelines.evaluations import grid, no_bars
from unlearning.audit.residue import needle, scan


def store_lab(lethe, split="paper"):
    data = read(lethe.store, split)
    return Lab(data, StoreKeeper(lethe.store, data.epoch, patience=0.1), METHODS, no_bars)


def kept(lethe, state=artifacts.LIVE):
    with lethe.store.reading() as unit:
        return [a for a in artifacts.all_on_disk(unit) if a.kind == "evaluation" and a.state == state]


@pytest.mark.parametrize("name", NAMES)
def test_a_split_is_made_once_and_stored_with_its_hash(lethe, name):
    first = read(lethe.store, name)
    (artifact,) = kept(lethe)
    assert artifact.settings == {"split": first.split.id, "name": name}
    assert artifact.mode is Mode.EVALUATION
    again = read(lethe.store, name)
    assert again.split == first.split
    assert (again.log.split == first.log.split).all()
    assert [a.id for a in kept(lethe)] == [artifact.id], "the second reading made nothing"
    rows = pl.read_parquet(lethe.root / artifact.path / ROWS)
    assert rows["user"].to_list() == [first.log.users[row] for row in first.log.user]


def test_the_splits_differ_and_the_papers_is_70_10_20_within_each_person(lethe):
    found = {name: read(lethe.store, name) for name in NAMES}
    assert len({data.split.id for data in found.values()}) == 3
    log = found["paper"].log
    rows, held = (np.bincount(part.user, minlength=40) for part in (log, log.only(Split.TEST)))
    assert held.tolist() == [max(1, int(0.2 * n + 1e-9)) for n in rows]
    assert np.bincount(log.only(Split.VALID).user).tolist() == [max(1, int(0.1 * n + 1e-9)) for n in rows]
    last = found["temporal"].log
    assert last.only(Split.TRAIN).timestamp.max() < last.only(Split.TEST).timestamp.min()


def test_another_recipe_for_a_stored_split_is_an_error(lethe):
    read(lethe.store, "paper")
    with pytest.raises(ResplitError, match=r"split paper was made by .*2020.*, not by .*a split is made once"):
        read(lethe.store, "paper", recipe=SplitRecipe("random", (0.7, 0.1, 0.2), seed=1))
    with pytest.raises(ResplitError, match="split random was made by"):
        read(lethe.store, "random", recipe=PAPER)


def test_rows_that_were_split_again_behind_its_back_are_an_error(lethe):
    read(lethe.store, "random")
    with lethe.store.writing() as unit:
        unit.connection.execute(update(interactions).where(interactions.c.split == 2).values(split=0))
        unit.commit()
    with pytest.raises(ResplitError, match="rows were split again since random"):
        read(lethe.store, "random")


def test_a_log_cannot_carry_anothers_split_id(lethe):
    data = read(lethe.store, "paper")
    other = resplit(data.log, replace(PAPER, seed=9))
    with pytest.raises(ResplitError, match=f"split paper is {data.split.id}, but the rows carry"):
        Data(data.epoch, other, data.items, data.split)
    assert paper_split(data.log, epoch=data.epoch + 1).split.id != data.split.id, "another epoch, another id"


def test_a_stored_split_that_was_tampered_with_is_refused(lethe):
    read(lethe.store, "paper")
    (artifact,) = kept(lethe)
    path = lethe.root / artifact.path / ROWS
    pl.read_parquet(path).with_columns(split=pl.lit(0, pl.UInt8)).write_parquet(path)
    with pytest.raises(LetheError, match="evaluation split-paper is not what was registered"):
        read(lethe.store, "paper")


def test_an_unknown_or_missing_split_is_told(lethe):
    with pytest.raises(LetheError, match="split 'best' is unknown: choose one of paper, random, temporal"):
        read(lethe.store, "best")


def test_a_forget_request_takes_the_evaluation_from_readers_and_the_erase_destroys_it(lethe):
    lab = store_lab(lethe)
    outcome = run(lab, grid("shield", protocols=("users-5",)))
    assert outcome.done.measured == 5
    held = [lethe.root / a.path for a in kept(lethe)]
    needles = [needle(SOMEBODY)]
    named = {finding.path for finding in scan(lethe.root, needles)}
    assert {
        f"{path.relative_to(lethe.root).as_posix()}/people.parquet" for path in held if "cell" not in path.name
    } & named
    forgotten(lethe, SOMEBODY)
    assert kept(lethe) == []
    assert not any(path.exists() for path in held)
    assert all(lab.keeper.find(spec.name) is None for spec in outcome.specs)
    erased(lethe)
    assert kept(lethe, artifacts.REFUSED) == []
    assert scan(lethe.root, needles) == []


def test_an_evaluation_that_runs_across_a_request_writes_nothing_more(lethe):
    lab = store_lab(lethe)
    wanted = grid("shield")
    run(lab, wanted, minutes=0)
    forgotten(lethe, SOMEBODY)
    before = files_of_evaluations(lethe)
    with pytest.raises(NotFinishedError, match="rows changed while this evaluation ran"):
        run(Lab(lab.data, lab.keeper, METHODS, no_bars), wanted)
    assert files_of_evaluations(lethe) == before
    again = store_lab(lethe)
    assert SOMEBODY not in again.data.log.users
    assert again.data.split.id != lab.data.split.id
    assert run(again, wanted).done.measured == 5


def test_a_request_between_writing_and_registering_leaves_no_file(lethe, monkeypatch):
    data = read(lethe.store, "paper")
    keeper = StoreKeeper(lethe.store, data.epoch)
    epochs = iter([data.epoch, data.epoch + 1])
    monkeypatch.setattr("pipelines.evaluate.keep.catalogue.epoch", lambda unit: next(epochs))
    before = files_of_evaluations(lethe)
    with pytest.raises(NotFinishedError):
        keeper.keep("late", lambda folder: files.write_json(folder / "x.json", {}), {})
    assert files_of_evaluations(lethe) == before


def files_of_evaluations(lethe):
    return sorted(p for p in (lethe.root / "artifacts" / "evaluation").rglob("*") if p.is_file())


def test_a_cell_waits_for_the_maintainer_and_says_when_it_gives_up(lethe):
    data = read(lethe.store, "paper")
    with lethe.store.maintaining(), pytest.raises(StoreBusyError):
        StoreKeeper(lethe.store, data.epoch, patience=0.1).keep("x", lambda folder: None, {})


def test_training_and_verifying_leave_finished_cells_alone(lethe):
    lab = store_lab(lethe)
    specs = run(lab, grid()).specs
    lethe.ok("train", "--backbone", "ease", "--scorer", "off")
    assert plan(store_lab(lethe), grid())[0] == list(specs)
    assert run(store_lab(lethe), grid()).done.measured == 0


def test_the_command_shows_tables_and_goes_on_where_it_ended(lethe):
    words = ("evaluate", "forgetting", "--backbone", "ease", "--protocol", "users-5", "--method", "shield")
    begun = lethe(*words, "--seeds", 2, "--minutes", 0)
    assert begun.status == 75
    assert "7 cells left" in begun.err
    found = lethe.read(*words, "--seeds", 2)
    assert found["cells"] == {"finished": 7, "measured_now": 7, "left": 0}
    assert [row["method"] for row in found["tables"][0]["rows"]] == ["oracle", "none", "shield"]
    assert found["split"]["name"] == "paper"
    assert SOMEBODY not in json.dumps(found), "the summary names nobody"
    told = lethe.ok(*words, "--seeds", 2)
    assert "ease, users-5:" in told.out
    assert "cell" not in told.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--protocol", "users-50"), "protocol 'users-50' is unknown"),
        (("--method", "amnesia"), "method 'amnesia' is unknown"),
        (("--split", "best"), "split 'best' is unknown"),
        (("--backbone", "gpt"), "backbone 'gpt' is unknown"),
        (("--scorer", "psychic", "--backbone", "ease"), "--scorer is 'psychic'"),
    ],
)
def test_bad_words_are_told_in_one_line(lethe, words, says):
    outcome = lethe("evaluate", "forgetting", *words)
    assert outcome.status == 1
    assert says in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_an_empty_root_is_told(empty):
    assert empty("evaluate", "forgetting").status == 1


def test_what_an_evaluation_keeps_is_told_by_its_number(lethe):
    outcome = run(store_lab(lethe), grid("shield"))
    number = len(outcome.specs) + 2  # the split and the settings
    (line,) = [line for line in lethe.ok("status").out.splitlines() if line.startswith("evaluation")]
    assert line.split()[:3] == ["evaluation", str(number), "kept"]
    places = {one["place"]: one for one in lethe.read("forget", "user", SOMEBODY, "--dry-run")}
    (place,) = [name for name in places if name.startswith("evaluation")]
    assert places[place]["count"] == number
    assert "destroyed by erase" in places[place]["how"]


def test_the_command_writes_the_page_it_is_asked_for(lethe, tmp_path):
    place = tmp_path / "new" / "forgetting.md"
    words = ("--backbone", "ease", "--method", "shield", "--protocol", "users-5", "--seeds", "1")
    lethe.ok("evaluate", "forgetting", *words, "--page", place)
    text = place.read_text()
    assert "### ease, users-5" in text
    assert "none (no forgetting)" in text
    assert list((place.parent / "forgetting").glob("*.svg"))
    assert SOMEBODY not in text
