"""The store's conformance suite: the same claims on SQLite and on a real PostgreSQL server."""

from datetime import UTC, datetime

import numpy as np
import pytest

from db import artifacts, catalogue, jobs, ledger, purge, requests, suppression
from db.errors import LetheError, StoreBusyError
from db.load import load_log
from db.records import Item, ItemId, Mode, Receipt, Scope, Selection, State, UserId, Verdict
from db.schema import ledger as ledger_table
from db.schema import metadata
from db.store import HEAD, Store
from tests.db.conftest import ALICE, BOB, CANARY, FILMS, NOW


def read(store, question, *args, **options):
    with store.reading() as unit:
        return question(unit, *args, **options)


def write(store, action, *args, **options):
    with store.writing() as unit:
        result = action(unit, *args, **options)
        unit.commit()
        return result


def backbone(unit, epoch, name="ease", scope=Scope.ALL):
    generation = artifacts.next_generation(unit, "backbone", name)
    path = artifacts.folder("backbone", name, generation)
    origin = artifacts.Origin(epoch, scope, seed=1, settings={"epochs": 3})
    return artifacts.register(unit, "backbone", name, generation, path=path, sha256="0" * 64, origin=origin)


def test_a_unit_that_is_not_committed_leaves_nothing(store):
    with store.writing() as unit:
        catalogue.put_users(unit, [UserId("ghost")])
    assert "ghost" not in read(store, catalogue.stored_users)


def test_a_unit_that_fails_leaves_nothing(store):
    def _fail() -> None:
        with store.writing() as unit:
            catalogue.put_users(unit, [UserId("ghost")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _fail()
    assert "ghost" not in read(store, catalogue.stored_users)


def test_opening_again_finds_everything(store):
    again = Store.open(store.root, store.engine.url.render_as_string(hide_password=False))
    assert read(again, catalogue.load_items) == FILMS
    again.close()


def test_the_files_of_the_database_are_known_where_it_has_any(store):
    files = {path.name for path in store.database_files()}
    assert files == (set() if store.dialect == "postgresql" else {"lethe.db"})
    with store.reading() as unit:
        catalogue.counts(unit)
        opened = {path.name for path in store.database_files()}
    assert opened == (set() if store.dialect == "postgresql" else {"lethe.db", "lethe.db-wal", "lethe.db-shm"})


def test_items_are_added_updated_and_left_alone(store):
    renamed = Item(ItemId("i2"), "Fargo", 1996, ("Crime", "Thriller"))
    new = Item(ItemId("i5"), "Brazil")
    counts = write(store, catalogue.put_items, [FILMS[0], renamed, new])
    assert counts == {"added": 1, "updated": 1, "unchanged": 1}
    assert read(store, catalogue.load_items) == [FILMS[0], renamed, FILMS[2], FILMS[3], new]


def test_the_log_is_in_time_order_and_lists_items_nobody_met(store):
    log = read(store, load_log)
    assert log.users == (ALICE, BOB, CANARY)
    assert log.items == ("i1", "i2", "i3", "i4")
    assert [h.tolist() for h in log.histories()] == [[3, 1, 0]] * 3
    assert np.all(np.diff(log.timestamp) >= 0)


def test_shielding_a_person_hides_every_row_at_once(store):
    request = write(store, requests.shield, CANARY, Selection(), now=NOW)
    assert (request.state, request.rows, request.user) == (State.SHIELDED, 3, CANARY)
    log = read(store, load_log)
    assert log.users == (ALICE, BOB)
    assert len(log) == 6
    assert read(store, catalogue.counts)["hidden"] == 3
    assert request.epoch == read(store, catalogue.epoch)
    assert read(store, requests.steps_open, request.id) == list(requests.STEPS[1:])


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (Selection(items=(ItemId("i1"),)), [3, 1]),
        (Selection(categories=("sci-fi",)), [1]),
        (Selection(before=datetime.fromtimestamp(25, UTC)), [0]),
        (Selection(categories=("Sci-Fi",), before=datetime.fromtimestamp(25, UTC)), [1, 0]),
    ],
)
def test_a_selection_hides_only_its_rows(store, selection, left):
    write(store, requests.shield, ALICE, selection, now=NOW)
    log = read(store, load_log)
    assert log.users == (ALICE, BOB, CANARY)
    assert [h.tolist() for h in log.histories()] == [left, [3, 1, 0], [3, 1, 0]]


@pytest.mark.parametrize(
    ("user", "selection", "names"),
    [
        ("nobody", Selection(), "nobody"),
        (ALICE, Selection(items=(ItemId("i3"),)), "i3"),
        (ALICE, Selection(items=(ItemId("i1"), ItemId("i9"))), "i9"),
        (ALICE, Selection(categories=("Western",)), "Western"),
        (ALICE, Selection(before=datetime.fromtimestamp(1, UTC)), "1970-01-01"),
    ],
)
def test_a_request_that_names_nothing_is_refused_in_one_line(store, user, selection, names):
    before = read(store, catalogue.counts)
    with pytest.raises(LetheError, match=names) as told:
        write(store, requests.shield, UserId(user), selection, now=NOW)
    assert "\n" not in str(told.value)
    assert read(store, catalogue.counts) == before
    assert read(store, requests.every) == []


def test_the_same_person_cannot_be_forgotten_twice(store):
    first = write(store, requests.shield, ALICE, Selection(), now=NOW)
    with pytest.raises(LetheError, match=first.id):
        write(store, requests.shield, ALICE, Selection(), now=NOW)


def test_shielding_takes_stored_lists_and_files_from_readers(store):
    made = write(store, backbone, 1)
    for user in (ALICE, CANARY):
        stored = jobs.StoredList(user, (ItemId("i3"), ItemId("i1")), (0.9, 0.1), ("backbone", "text"))
        write(store, jobs.publish, [stored], backbone=made.id)
    origin = artifacts.Origin(1, Scope.ALL, parents=(made.id,))
    parquet = write(
        store, artifacts.register, "recommendations", "recs", 1, path="recs.parquet", sha256="1" * 64, origin=origin
    )
    assert read(store, jobs.stored_list, CANARY).items == ("i3", "i1")
    write(store, requests.shield, CANARY, Selection(), now=NOW)
    assert read(store, jobs.stored_list, CANARY) is None
    assert read(store, jobs.stored_list, ALICE) is not None
    assert read(store, artifacts.get, parquet.id).state == artifacts.REFUSED
    assert read(store, artifacts.live, "backbone").id == made.id


def test_lineage_names_every_artefact_built_before_the_request(store):
    old = write(store, backbone, 1)
    text = write(store, backbone, 1, name="text", scope=Scope.NONE)
    request = write(store, requests.shield, ALICE, Selection(), now=NOW)
    assert [a.id for a in read(store, artifacts.descending, request.epoch)] == [old.id]
    new = write(store, backbone, request.epoch)
    assert read(store, artifacts.live, "backbone", "ease").id == new.id
    assert [a.id for a in read(store, artifacts.descending, request.epoch)] == [old.id]
    write(store, artifacts.mark_destroyed, [old.id])
    assert read(store, artifacts.descending, request.epoch) == []
    assert text.id in {a.id for a in read(store, artifacts.all_on_disk)}
    assert new.generation == old.generation + 1


def test_serving_never_finds_an_evaluation_artefact(store):
    with store.writing() as unit:
        origin = artifacts.Origin(1, Scope.ALL, mode=Mode.EVALUATION)
        artifacts.register(unit, "backbone", "ease", 1, path="x", sha256="", origin=origin)
        unit.commit()
    assert read(store, artifacts.live, "backbone") is None
    assert read(store, artifacts.live, "backbone", mode=Mode.EVALUATION) is not None


def test_an_artefact_kind_without_an_erasure_rule_is_refused(store):
    with pytest.raises(ValueError, match="no erasure rule"):
        write(
            store,
            artifacts.register,
            "cache",
            "x",
            1,
            path="x",
            sha256="",
            origin=artifacts.Origin(1, Scope.ALL),
        )


def test_purge_deletes_the_rows_and_keeps_a_commitment_only(store):
    request = write(store, requests.shield, CANARY, Selection(), now=NOW)
    user, salt = read(store, purge.subject, request.id)
    assert user == CANARY
    assert write(store, purge.purge, [request.id]) == 3
    assert read(store, purge.subject, request.id) is None
    assert read(store, purge.commitment_of, request.id) == purge.commitment(salt, CANARY)
    assert CANARY not in read(store, catalogue.stored_users)
    assert read(store, requests.get, request.id).user is None
    assert write(store, purge.purge, [request.id]) == 0  # a re-run after a kill


def test_purging_a_selection_keeps_the_person(store):
    request = write(store, requests.shield, ALICE, Selection(items=(ItemId("i1"),)), now=NOW)
    write(store, purge.purge, [request.id])
    assert next(h.tolist() for h in read(store, load_log).histories()) == [3, 1]
    assert len(read(store, catalogue.stored_interactions)) == 8


def test_two_requests_of_one_person_are_purged_together(store):
    part = write(store, requests.shield, ALICE, Selection(items=(ItemId("i1"),)), now=NOW)
    whole = write(store, requests.shield, ALICE, Selection(), now=NOW)
    assert write(store, purge.purge, [part.id, whole.id]) == 3
    assert set(read(store, catalogue.stored_users)) == {BOB, CANARY}


def test_suppression_outlives_the_purge_until_readmitted(store):
    request = write(store, requests.shield, CANARY, Selection(), now=NOW)
    row = write(store, requests.shield, ALICE, Selection(items=(ItemId("i1"),)), now=NOW)
    write(store, purge.purge, [request.id, row.id])
    write(store, requests.close, [request.id, row.id], at=NOW)
    hidden = read(store, suppression.load)
    assert hidden.hides_user(CANARY)
    assert not hidden.hides_user(ALICE)
    assert hidden.hides_row(ALICE, ItemId("i1"))
    assert not hidden.hides_row(ALICE, ItemId("i2"))
    assert write(store, suppression.readmit, [CANARY], [(ALICE, ItemId("i1"))]) == 2
    assert read(store, suppression.load).tokens == frozenset()


def test_an_open_request_cannot_be_undone_by_readmission(store):
    write(store, requests.shield, CANARY, Selection(), now=NOW)
    assert write(store, suppression.readmit, [CANARY]) == 0
    assert read(store, suppression.load).hides_user(CANARY)


def test_steps_receipts_and_verdicts_follow_a_request(store):
    request = write(store, requests.shield, CANARY, Selection(), now=NOW)
    receipt = Receipt(request.id, "recsys", "retrain", "backbone/ease/2", True, 1.5, "fresh seed", NOW)
    verdict = Verdict("residue", 0.0, 0.0, control=3.0, control_found=True, detail="3 planted, 3 found")
    with store.writing() as unit:
        requests.add_receipt(unit, receipt)
        requests.add_verdict(unit, request.id, verdict)
        requests.add_verdict(unit, request.id, verdict)
        requests.mark_step(unit, [request.id], "rebuild", {})
        requests.mark_step(unit, [request.id], "rebuild", {})
        unit.commit()
    assert read(store, requests.receipts_of, request.id) == [receipt]
    assert read(store, requests.verdicts_of, request.id) == [verdict]
    assert read(store, requests.steps_open, request.id) == ["audit", "purge", "scrub", "certify"]
    assert read(store, ledger.verify) == 3
    assert [r.id for r in read(store, requests.pending)] == [request.id]
    write(store, requests.close, [request.id], at=NOW)
    assert read(store, requests.pending) == []
    assert read(store, requests.get, request.id).state is State.ERASED


@pytest.mark.parametrize("harm", ["payload", "removed", "order"])
def test_the_ledger_shows_any_change(store, harm):
    for user in (ALICE, BOB):
        write(store, requests.shield, user, Selection(), now=NOW)
    assert read(store, ledger.verify) == 4
    with store.writing() as unit:
        c = ledger_table.c
        if harm == "payload":
            unit.connection.execute(ledger_table.update().where(c.seq == 2).values(payload={"files_refused": 9}))
        elif harm == "removed":
            unit.connection.execute(ledger_table.delete().where(c.seq == 2))
        else:
            unit.connection.execute(ledger_table.update().where(c.seq == 2).values(seq=99))
        unit.commit()
    with pytest.raises(ledger.LedgerError, match="entry 2"):
        read(store, ledger.verify)


def test_the_ledger_never_names_a_person(store):
    write(store, requests.shield, CANARY, Selection(), now=NOW)
    with store.reading() as unit:
        rows = unit.connection.execute(ledger_table.select()).all()
    assert len(rows) == 2
    assert CANARY not in repr(rows)


def test_jobs_are_cut_into_chunks_of_visible_people(store):
    made = write(store, backbone, 1)
    write(store, requests.shield, BOB, Selection(), now=NOW)
    job = write(store, jobs.create, {"top": 10}, backbone=made.id, out="recs.parquet", chunk_size=1)
    chunks = read(store, jobs.chunks_of, job.id)
    assert [[u for _, u in read(store, jobs.visible_users, c)] for c in chunks] == [[ALICE], [CANARY]]
    write(store, jobs.finish_chunk, chunks[0], {"people": 1})
    assert [c.counts for c in read(store, jobs.chunks_of, job.id)] == [{"people": 1}, None]
    late = write(store, requests.shield, CANARY, Selection(), now=NOW)
    assert read(store, jobs.visible_users, chunks[1]) == []
    assert read(store, jobs.changed_since, job.epoch) == {CANARY}
    assert read(store, jobs.changed_since, late.epoch) == set()
    with pytest.raises(LetheError, match=job.id):
        read(store, jobs.get, "j-unknown")


def test_one_maintainer_at_a_time(store):
    other = Store.open(store.root, store.engine.url.render_as_string(hide_password=False))
    with store.maintaining(), pytest.raises(StoreBusyError), other.maintaining():
        pass
    with other.maintaining():
        assert True
    other.close()


def test_every_column_carries_its_erasure_rule():
    from db.erasure import Rule

    bare = [str(c) for table in metadata.tables.values() for c in table.columns if "erasure" not in c.info]
    assert bare == []
    assert {type(c.info["erasure"]) for t in metadata.tables.values() for c in t.columns} == {Rule}


def test_the_migrations_make_exactly_the_schema(store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from db.migrate import configuration

    assert ScriptDirectory.from_config(configuration()).get_current_head() == HEAD
    with store.reading() as unit:
        context = MigrationContext.configure(unit.connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_store_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(LetheError, match="lethe ingest"):
        Store.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(LetheError, match="no known kind"):
        Store.open(tmp_path / "none", "oracle://x", create=True)
