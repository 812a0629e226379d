"""Forgotten at once: what every reader sees between `lethe forget user` and `lethe erase`."""

from datetime import UTC, datetime

import polars as pl
import pytest

from db import jobs
from db.load import load_log
from tests.pipelines.commands import ITEMS, OTHER, PEOPLE, SOMEBODY, THIRD, erased, forgotten, history, logical_dump

BATCH = "recommendations.parquet"


def lists_of(path):
    """Items by person in a Parquet file of lists."""
    frame = pl.read_parquet(path)
    return {user: rows["item"].to_list() for (user,), rows in frame.group_by("user", maintain_order=True)}


def stored(lethe, user):
    with lethe.store.reading() as unit:
        return jobs.stored_list(unit, user)


def test_the_person_cannot_be_read_any_more_and_could_before(lethe):
    lethe.ok("recommend", "--all")
    assert lethe.read("recommend", SOMEBODY)[0]["user"] == SOMEBODY
    assert stored(lethe, SOMEBODY)
    forgotten(lethe, SOMEBODY)
    refused = lethe("recommend", SOMEBODY)
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith(f"lethe: no data for this user: {SOMEBODY}")
    assert stored(lethe, SOMEBODY) is None
    assert stored(lethe, OTHER)


def test_a_batch_leaves_the_person_out_and_counts_them(lethe):
    assert lethe.read("recommend", "--all")["forgotten"] == 0
    forgotten(lethe, SOMEBODY)
    summary = lethe.read("recommend", "--all")
    assert (summary["people"], summary["forgotten"]) == (len(PEOPLE) - 1, 1)
    assert set(lists_of(lethe.root / BATCH)) == set(PEOPLE) - {SOMEBODY}
    assert "left out: 1 forgotten" in lethe.ok("recommend", "--all").out


def test_a_list_file_is_out_of_the_way_at_once_and_written_again_by_erase(lethe):
    lethe.ok("recommend", "--all")
    assert SOMEBODY in lists_of(lethe.root / BATCH)
    forgotten(lethe, SOMEBODY)
    assert not (lethe.root / BATCH).exists()
    (document,) = erased(lethe)
    after = lists_of(lethe.root / BATCH)
    assert set(after) == set(PEOPLE) - {SOMEBODY}
    for user in (OTHER, THIRD):
        rows = lethe.read("recommend", user)[0]["recommendations"]
        assert after[user] == [row["item"] for row in rows]
    assert "rewrite" in {receipt["action"] for receipt in document["receipts"]}
    assert list((lethe.root / "quarantine").iterdir()) == []


def test_a_list_made_by_the_old_backbone_after_the_request_is_written_again_too(lethe, tmp_path):
    """Its rows name nobody who is forgotten, but its scores were fitted on their rows."""
    request = forgotten(lethe, SOMEBODY)
    lethe.ok("recommend", "--all", "--out", lethe.root / "late.parquet")
    lethe.ok("recommend", "--all", "--out", tmp_path / "export.parquet")
    before = (lethe.root / "late.parquet").read_bytes()
    (document,) = erased(lethe)
    assert (lethe.root / "late.parquet").read_bytes() != before
    assert document["exports_beyond_reach"] == [str(tmp_path / "export.parquet")]
    lethe.ok("verify", request)


def test_an_export_is_told_before_and_named_in_the_certificate(lethe, tmp_path):
    out = tmp_path / "export.parquet"
    lethe.ok("recommend", "--all", "--out", out)
    touched = {place["place"]: place for place in lethe.read("forget", "user", SOMEBODY, "--dry-run")}
    assert touched["exports"]["count"] == 1
    forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe)
    assert document["exports_beyond_reach"] == [str(out)]
    assert SOMEBODY in lists_of(out)


def test_a_batch_that_no_longer_fits_is_destroyed_and_said_so(lethe):
    """A list file whose settings the set of today cannot serve must not keep a request open."""
    lethe.ok("recommend", "--all")
    with lethe.store.writing() as unit:
        unit.connection.exec_driver_sql(
            "UPDATE artifacts SET settings = json_set(settings, '$.filter', 'attention') WHERE kind = 'recommendations'"
        )
        unit.commit()
    request = forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe)
    assert not (lethe.root / BATCH).exists()
    assert "destroy" in {receipt["action"] for receipt in document["receipts"]}
    lethe.ok("verify", request)


def test_a_dry_run_counts_every_place_and_changes_nothing(lethe):
    lethe.ok("recommend", "--all")
    before = logical_dump(lethe.store)
    touched = {place["place"]: place["count"] for place in lethe.read("forget", "user", SOMEBODY, "--dry-run")}
    assert touched["interactions"] == len(history(lethe, SOMEBODY))
    assert (touched["users"], touched["recommendations"], touched["unfinished jobs"]) == (1, 10, 0)
    assert {"backbone ease", "popularity ease", "settings ease", f"recommendations {BATCH}"} <= set(touched)
    assert logical_dump(lethe.store) == before
    assert (lethe.root / BATCH).exists()


def test_ids_come_from_a_file_or_standard_input_and_all_or_none_is_accepted(lethe, tmp_path):
    (tmp_path / "ids").write_text(f"\n{OTHER}\n\n  {THIRD}  \n")
    before = logical_dump(lethe.store)
    mixed = lethe("forget", "user", "-", stdin=f"{SOMEBODY}\nnobody\n".encode())
    assert (mixed.status, logical_dump(lethe.store)) == (1, before)
    assert "no data for user nobody" in mixed.err
    lethe.ok("forget", "user", "--users-file", tmp_path / "ids")
    lethe.ok("forget", "user", "-", stdin=f"{SOMEBODY}\n{SOMEBODY}\n".encode())
    assert lethe.read("status")["counts"]["users"] == len(PEOPLE) - 3


@pytest.mark.parametrize("by", ["item", "category", "before"])
def test_part_of_a_history_is_as_if_never_seen_and_the_person_stays(lethe, by):
    was = history(lethe, SOMEBODY)
    middle = datetime.fromtimestamp(sorted(at for _, at in was.items.values())[len(was) // 2], UTC)
    day = middle.replace(hour=0, minute=0, second=0, microsecond=0)
    first, second, *_ = was.items
    gone, words = {
        "item": ({first, second}, ["--item", first, "--item", second]),
        "category": ({item for item in was.items if ITEMS.index(item) % 3 == 0}, ["--category", "cOMEDY"]),
        "before": ({i for i, (_, at) in was.items.items() if at < day.timestamp()}, ["--before", f"{day:%Y-%m-%d}"]),
    }[by]
    assert gone
    everything = ("--retrieve", "backbone", "--top", 30, "--candidates", 30)
    offered = {row["item"] for row in lethe.read("recommend", SOMEBODY, *everything)[0]["recommendations"]}
    assert offered == set(ITEMS) - set(was.items)
    forgotten(lethe, SOMEBODY, *words)
    for _ in range(2):  # before the erase and after it
        assert set(history(lethe, SOMEBODY).items) == set(was.items) - gone
        offered = {row["item"] for row in lethe.read("recommend", SOMEBODY, *everything)[0]["recommendations"]}
        assert offered == (set(ITEMS) - set(was.items)) | gone
        erased(lethe)


def test_status_tells_a_request_that_is_late(lethe):
    request = forgotten(lethe, SOMEBODY, "--deadline", 1)
    assert lethe.read("status")["standings"][0]["request"]["id"] == request
    with lethe.store.writing() as unit:
        unit.connection.exec_driver_sql("UPDATE forget_requests SET deadline = '2001-01-01 00:00:00.000000'")
        unit.commit()
    late = lethe("status")
    assert late.status == 1
    assert "OVERDUE: rebuild audit purge scrub certify" in late.out
    erased(lethe)
    assert lethe("status").status == 0


def test_forget_and_erase_in_one_command_is_one_document(lethe):
    document = lethe.read("forget", "user", SOMEBODY, "--now")
    (made,) = document["accepted"]
    assert document["erased"]["requests"] == [made["id"]]
    assert document["erased"]["certificates"][0]["subject"]["user"] == SOMEBODY
    lethe.ok("verify", made["id"])


def test_nobody_else_changes(lethe):
    before = {user: history(lethe, user) for user in PEOPLE}
    forgotten(lethe, SOMEBODY)
    erased(lethe)
    with lethe.store.reading() as unit:
        assert set(load_log(unit).users) == set(PEOPLE) - {SOMEBODY}
    assert all(history(lethe, user) == before[user] for user in PEOPLE if user != SOMEBODY)
