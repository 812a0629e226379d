"""The whole way on PostgreSQL."""

from tests.pipelines.commands import PEOPLE, SOMEBODY, Lethe, erased, forgotten, ingest_words, subjects_file


def test_from_ingest_to_verify(postgres_server, postgres_url, tmp_path, monkeypatch, data_folder):
    monkeypatch.setenv("LETHE_DB", postgres_url)
    monkeypatch.setenv("LETHE_ROOT", str(tmp_path / "root"))
    lethe = Lethe(tmp_path / "root", postgres_url)
    assert lethe.read(*ingest_words(data_folder))["users_added"] == len(PEOPLE)
    lethe.ok("train", "--backbone", "ease", "--scorer", "off")
    assert lethe.read("recommend", "--all")["people"] == len(PEOPLE)
    request = forgotten(lethe, SOMEBODY)
    assert lethe("recommend", SOMEBODY).status == 1
    (document,) = erased(lethe)
    lethe.ok("verify", request, "--certificate", subjects_file(lethe))
    assert not (lethe.root / "lethe.db").exists()
    assert any("PostgreSQL server lie outside the root" in limit for limit in document["limits"])
    assert lethe.read(*ingest_words(data_folder))["suppressed_users"] == 1
    lethe.close()
    files = [path for path in postgres_server.data.rglob("*") if path.is_file()]
    assert [path.name for path in files if SOMEBODY.encode() in path.read_bytes()] == []
