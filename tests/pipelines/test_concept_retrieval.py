"""A concept hidden by retrieval, for everybody or for one person, through the command line."""

import polars as pl
import pytest

from db import artifacts, jobs
from db.errors import NotFinishedError
from db.schema import concept_requests
from pipelines import engine
from pipelines.serving import plan_for
from tests.pipelines.commands import ITEMS, OTHER, PEOPLE, SOMEBODY, erased, forgotten, history
from tests.pipelines.test_cli_imports import HEAVY, command, loaded
from tests.pipelines.test_recommend import rows_of

HORROR = {item for n, item in enumerate(ITEMS) if n % 3 == 1}
HIDE = ("--layer", "retrieval", "--yes")


def test_hidden_items_leave_lists_and_histories_of_everybody_and_come_back(lethe):
    asked = ("recommend", *PEOPLE[:8], "--explain", "--top", 12, "--candidates", 12)
    before = lethe.read(*asked)
    told = lethe.read("forget", "concept", "horror", *HIDE)["request"]
    assert (told["name"], told["kind"], told["state"], set(told["items"])) == ("horror", "genre", "hidden", HORROR)
    hidden = lethe.read(*asked)
    for one, other in zip(hidden, before, strict=True):
        seen = set(history(lethe, one["user"]).items)
        assert HORROR & set(other["history_used"])
        assert len(rows_of(one)) == min(12, len(set(ITEMS) - HORROR - seen))
        assert not HORROR & {*rows_of(one), *one["history_used"]}
        assert not seen & set(rows_of(one))
    lethe.ok("restore", "concept", "Horror")
    assert lethe.read(*asked) == before


def test_what_one_person_asked_for_touches_nobody_else(lethe):
    asked = ("recommend", SOMEBODY, OTHER, "--explain")
    before = {one["user"]: one for one in lethe.read(*asked)}
    lethe.ok("forget", "concept", "Horror", *HIDE, "--user", SOMEBODY)
    after = {one["user"]: one for one in lethe.read(*asked)}
    assert after[OTHER] == before[OTHER]
    assert (after[SOMEBODY]["without"], after[OTHER]["without"]) == (["Horror"], [])
    assert lethe.ok("recommend", SOMEBODY).out.endswith("without what was forgotten: Horror\n")
    assert not HORROR & {*rows_of(after[SOMEBODY]), *after[SOMEBODY]["history_used"]}
    batch = pl.read_parquet(lethe.read("recommend", "--all")["out"])
    theirs = batch.filter(pl.col("item").is_in(sorted(HORROR)))["user"].unique().to_list()
    assert SOMEBODY not in theirs
    assert len(theirs) > 20
    assert batch.filter(pl.col("user") == SOMEBODY)["item"].to_list() == rows_of(after[SOMEBODY])


def test_what_was_published_before_is_withdrawn_and_made_again(lethe):
    out = lethe.read("recommend", "--all")["out"]
    told = lethe.ok("forget", "concept", "Horror", *HIDE)
    assert f"{len(PEOPLE)} stored lists, 1 files" in told.err
    assert pl.read_parquet(lethe.read("recommend", "--all")["out"]).height
    with lethe.store.reading() as unit:
        assert not HORROR & {item for user in PEOPLE for item in jobs.stored_list(unit, user).items}
    assert not HORROR & set(pl.read_parquet(out)["item"])


def test_a_batch_that_a_concept_overtakes_publishes_nothing(lethe):
    plan = plan_for(lethe.store).model_copy(update={"chunk": 7})
    job, served = engine.start(lethe.store, plan, lethe.root / "again.parquet")

    def overtaken(done, of):
        if done == 2:
            lethe.ok("forget", "concept", "Horror", *HIDE)

    with pytest.raises(NotFinishedError, match="start it again"):
        engine.run(lethe.store, job, served, progress=overtaken)
    assert not (lethe.root / "again.parquet").exists()
    assert lethe("recommend", "--resume", job.id).status == 1


def test_a_person_takes_their_concepts_along(lethe):
    lethe.ok("forget", "concept", "Horror", *HIDE, "--user", SOMEBODY)
    lethe.ok("forget", "concept", "Comedy", *HIDE, "--user", OTHER)
    dry = {row["place"]: row["count"] for row in lethe.read("forget", "user", SOMEBODY, "--dry-run")}
    assert dry["concept requests"] == 1
    request = forgotten(lethe, SOMEBODY)
    assert [one["user"] for one in lethe.read("status")["concepts"]] == [OTHER]
    assert lethe("restore", "concept", "Horror", "--user", SOMEBODY).status == 1
    (document,) = erased(lethe)
    assert document["request"] == request
    with lethe.store.reading() as unit:
        assert len(unit.connection.execute(concept_requests.select()).all()) == 1
    assert lethe.ok("verify", request)


def test_an_item_that_came_after_the_training_does_no_harm(lethe, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,year,genres\nnew,Fresh blood,1999,Horror\n")
    (tmp_path / "rows.csv").write_text(f"user_id,item_id,rating,timestamp\n{SOMEBODY},new,5,999999999\n")
    lethe.ok("ingest", "files", "--interactions", tmp_path / "rows.csv", "--items", tmp_path / "items.csv")
    told = lethe.read("forget", "concept", "Horror", *HIDE)
    assert len(told["request"]["items"]) == 11
    assert not HORROR & set(rows_of(lethe.read("recommend", SOMEBODY)[0]))


def test_it_names_who_has_the_title_too_and_leaves_it(lethe, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,year,genres\nnew,Film number 7,1999,Drama\n")
    (tmp_path / "rows.csv").write_text(f"user_id,item_id,rating,timestamp\n{SOMEBODY},new,5,999999999\n")
    lethe.ok("ingest", "files", "--interactions", tmp_path / "rows.csv", "--items", tmp_path / "items.csv")
    told = lethe.ok("forget", "concept", "Film number 7 (1977)", *HIDE).err
    assert "of the same title, and not meant: Film number 7 (1999), item new" in told
    assert "not meant" not in lethe.ok("forget", "concept", "Film number 7", *HIDE).err
    horror = lethe("forget", "concept", "Horror", stdin=b"n\n").err
    assert "Film number 7 (1999), item new (a model that forgets more than 8 items refuses these too)" in horror
    assert "refuses these too" not in lethe("forget", "concept", "Horror", "--layer", "retrieval", stdin=b"n\n").err


def test_status_and_the_list_tell_what_is_forgotten(lethe):
    assert lethe.ok("restore", "concept", "--list").out == "no concept is forgotten\n"
    lethe.ok("forget", "concept", "the first three", "--item", "f00", "--item", "f01", "--item", "f02", *HIDE)
    (told,) = lethe.read("restore", "concept", "--list")
    assert (told["kind"], told["items"]) == ("items", ["f00", "f01", "f02"])
    for words in (("status",), ("restore", "concept", "--list")):
        assert "the first three  items" in lethe.ok(*words).out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("forget", "concept", "Film number"), "nothing was changed"),
        (("forget", "concept", "Westerns", "--kind", "genre", "--yes"), "no genre is called"),
        (("forget", "concept", "x", "--item", "f99", "--yes"), "there is no item f99"),
        (("forget", "concept", "Horror", "--user", "nobody", *HIDE), "no data for user nobody"),
        (("forget", "concept", "Horror", "--method", "ssd", "--yes"), "method ssd makes no adapter"),
        (("restore", "concept", "Horror"), "no concept 'Horror' is forgotten for everybody; forgotten: none"),
    ],
)
def test_a_refusal_is_one_line_and_changes_nothing(lethe, words, told):
    refused = lethe(*words)
    assert refused.status == 1
    assert told in refused.err.splitlines()[-1]
    assert lethe.read("status")["concepts"] == []


def test_it_asks_and_takes_yes_for_an_answer(lethe):
    words = ("forget", "concept", "Horror", "--layer", "retrieval")
    assert "was not forgotten" in lethe(*words, stdin=b"n\n").err
    asked = lethe.ok(*words, stdin=b"y\n")
    assert "'Horror' is a genre of 10 items" in asked.err
    assert "Film number 1" in asked.err
    assert lethe.ok(*words, "--yes").out == asked.out  # asked again it is the one that stands


def test_hiding_a_concept_loads_no_model(lethe):
    assert loaded(command("forget", "concept", "Horror", *HIDE), *HEAVY) == []
    with lethe.store.reading() as unit:
        assert artifacts.live(unit, "adapter") is None
    assert [one["state"] for one in lethe.read("status")["concepts"]] == ["hidden"]
