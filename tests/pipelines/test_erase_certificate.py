"""The certificate: the root keeps nobody's id, the subject can prove whom it is about, and verify notices changes."""

import hashlib
import json

import pytest

from tests.pipelines.commands import OTHER, SOMEBODY, THIRD, erased, forgotten, subjects_file


@pytest.fixture
def done(lethe):
    """A root after one erase, and the subject's certificate."""
    lethe.ok("recommend", "--all")
    forgotten(lethe, SOMEBODY)
    (document,) = erased(lethe)
    return lethe, document


def kept(lethe, document):
    return lethe.root / "certificates" / f"{document['request']}.json"


def failing(lethe, document, *more):
    """Names of the checks that fail."""
    checks = json.loads(lethe("verify", document["request"], "--json", *more).out)
    return {check["name"] for check in checks if not check["passed"]}


def rewritten(lethe, **changes):
    """The subjects' file with changed fields."""
    held = json.loads(subjects_file(lethe).read_text())
    held["certificates"][0] |= changes
    subjects_file(lethe).write_text(json.dumps(held))
    return subjects_file(lethe)


def test_the_roots_copy_names_nobody_and_the_subjects_fits_the_commitment(done):
    lethe, document = done
    subject, copy = document["subject"], kept(lethe, document).read_text()
    assert subject["user"] == SOMEBODY
    assert document["commitment"] == hashlib.sha256((subject["salt"] + SOMEBODY).encode()).hexdigest()
    assert SOMEBODY not in copy
    assert subject["salt"] not in copy
    assert json.loads(copy) == {key: value for key, value in document.items() if key != "subject"}
    assert document["grade"] == "exact"
    assert all(audit["passed"] and not audit["void"] for audit in document["audits"])
    assert {audit["audit"] for audit in document["audits"]} == {"lineage", "shield", "ease-residual", "residue"}
    assert any("backups are beyond" in limit for limit in document["limits"])


def test_what_is_as_it_was_verifies(done):
    lethe, document = done
    plain = lethe.ok("verify", document["request"])
    assert "FAILED" not in plain.out
    checks = lethe.read("verify", document["request"], "--certificate", subjects_file(lethe))
    assert {"ledger", "hashes", "lineage", "certificate", "commitment", "residue"} <= {c["name"] for c in checks}


def test_certificates_on_standard_output_where_no_file_is_named(lethe):
    forgotten(lethe, SOMEBODY)
    text = lethe.ok("erase").out
    assert f"subject {SOMEBODY}, salt " in text


def test_a_file_collects_the_certificates_of_later_erases(done):
    lethe, document = done
    forgotten(lethe, OTHER)
    (second,) = erased(lethe)
    held = json.loads(subjects_file(lethe).read_text())["certificates"]
    assert [one["request"] for one in held] == [document["request"], second["request"]]
    lethe.ok("verify", document["request"], "--certificate", subjects_file(lethe))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger SET payload = '{\"rows\": 1}' WHERE event = 'accepted'",
        "DELETE FROM ledger WHERE event = 'shielded'",
        "UPDATE ledger SET at = '2001-01-01 00:00:00.000000' WHERE seq = 3",
    ],
)
def test_a_tampered_ledger_fails(done, change):
    lethe, document = done
    with lethe.store.writing() as unit:
        assert unit.connection.exec_driver_sql(change).rowcount
        unit.commit()
    assert "ledger" in failing(lethe, document)
    assert lethe("verify", document["request"]).status == 1


def test_a_changed_byte_of_an_artefact_fails(done):
    lethe, document = done
    path = lethe.root / "artifacts" / "backbone" / "ease" / "gen-00002" / "item.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert failing(lethe, document) == {"hashes"}


@pytest.mark.parametrize("content", [None, "{}", "[]", "nonsense", '{"request": "r1", "commitment": "0"}'])
def test_a_missing_or_foreign_copy_fails(done, content):
    lethe, document = done
    kept(lethe, document).unlink() if content is None else kept(lethe, document).write_text(content)
    assert failing(lethe, document) == {"certificate"}


def test_planted_residue_fails_with_the_subjects_certificate(done):
    lethe, document = done
    (lethe.root / "notes.csv").write_text(f"user,why\n{SOMEBODY},asked\n")
    assert failing(lethe, document) == set()
    assert failing(lethe, document, "--certificate", subjects_file(lethe)) == {"residue"}


def test_a_certificate_about_somebody_else_fails(done):
    lethe, document = done
    wrong = rewritten(lethe, subject={**document["subject"], "user": THIRD})
    assert failing(lethe, document, "--certificate", wrong) == {"commitment"}
    wrong = rewritten(lethe, subject=document["subject"], ledger="0" * 64)
    assert failing(lethe, document, "--certificate", wrong) == {"ledger entry"}


def test_an_open_request_does_not_verify(done):
    lethe, _ = done
    request = forgotten(lethe, OTHER)
    assert {"state", "certificate", "lineage"} <= failing(lethe, {"request": request})
