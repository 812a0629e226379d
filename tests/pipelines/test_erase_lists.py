"""Lists in the database after an erase: current where their batch lies under the root, else gone, and said so."""

import pytest
from sqlalchemy import select

from db import artifacts, jobs
from db.schema import recommendations
from tests.pipelines.commands import OTHER, PEOPLE, SOMEBODY, erased, files_under, forgotten, subjects_file


@pytest.fixture
def export(lethe, tmp_path):
    """A batch that was written outside the root."""
    lethe.ok("recommend", "--all", "--out", tmp_path / "export.parquet")
    return tmp_path / "export.parquet"


def stored_and_made(lethe, user):
    """A person's items as stored, and as they are recommended now; the backbones that stored lists come from."""
    with lethe.store.reading() as unit:
        found = jobs.stored_list(unit, user)
        backbones = set(unit.connection.scalars(select(recommendations.c.backbone)))
    made = [row["item"] for row in lethe.read("recommend", user)[0]["recommendations"]]
    return list(found.items) if found else None, made, backbones


def live(lethe):
    with lethe.store.reading() as unit:
        return artifacts.live(unit, "backbone", "ease").id


def left_to_do(document):
    return [receipt["detail"] for receipt in document["receipts"] if receipt["action"] == "delete"]


def test_lists_of_a_batch_under_the_root_are_current(lethe):
    lethe.ok("recommend", "--all")
    forgotten(lethe, SOMEBODY)
    shown = lethe.ok("erase", "--certificate", subjects_file(lethe)).out
    stored, made, backbones = stored_and_made(lethe, OTHER)
    assert stored == made
    assert backbones == {live(lethe)}
    assert "left to you" not in shown


def test_lists_of_an_export_are_gone_and_the_export_is_as_it_was(lethe, export):
    assert stored_and_made(lethe, OTHER)[0] is not None
    before = export.read_bytes()
    forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe)
    stored, _, backbones = stored_and_made(lethe, OTHER)
    assert (stored, backbones) == (None, set())
    assert export.read_bytes() == before
    assert document["exports_beyond_reach"] == [str(export)]
    rows = 10 * (len(PEOPLE) - 1)
    assert left_to_do(document) == [f"{rows} rows made before the request; `lethe recommend --all` makes them again"]


def test_a_person_is_told_of_both_and_can_do_as_told(lethe, export):
    request = forgotten(lethe, SOMEBODY)
    shown = lethe.ok("erase", "--certificate", subjects_file(lethe)).out
    left = shown[shown.index("left to you:") :]
    assert f"- beyond reach, written before the request: {export}" in left
    assert "- recommendations/stored lists deleted: 390 rows made before the request; `lethe recommend --all`" in left
    lethe.ok("recommend", "--all", "--out", export)
    stored, made, backbones = stored_and_made(lethe, OTHER)
    assert stored == made
    assert backbones == {live(lethe)}
    assert SOMEBODY.encode() not in export.read_bytes()
    lethe.ok("verify", request)


def test_a_batch_under_the_root_makes_lists_again_that_an_export_replaced(lethe, export):
    lethe.ok("recommend", "--all")
    lethe.ok("recommend", "--all", "--out", export)
    forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe)
    stored, made, backbones = stored_and_made(lethe, OTHER)
    assert stored == made
    assert backbones == {live(lethe)}
    assert left_to_do(document) == []
    assert "recommendations.parquet" in files_under(lethe.root)
