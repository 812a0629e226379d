"""A small data set that was ingested and trained once; every test gets a copy of its own."""

import shutil
from dataclasses import replace

import pytest

from recsys import recbole_models
from tests.pipelines.commands import Lethe, ingest_words, write_data


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """The made-up data set as files."""
    folder = tmp_path_factory.mktemp("data") / "films"
    write_data(folder)
    return folder


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory, data_folder):
    """A root with EASE, no language model; nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LETHE_DB", raising=False)
        root = tmp_path_factory.mktemp("trained") / "root"
        patch.setenv("LETHE_ROOT", str(root))
        lethe = Lethe(root)
        lethe.ok(*ingest_words(data_folder))
        lethe.ok("train", "--backbone", "ease", "--scorer", "off")
    return root


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The command line, pointed at a root that does not exist yet."""
    monkeypatch.delenv("LETHE_DB", raising=False)
    monkeypatch.setenv("LETHE_ROOT", str(tmp_path / "root"))
    lethe = Lethe(tmp_path / "root")
    yield lethe
    lethe.close()


@pytest.fixture
def lethe(empty, trained_once):
    """The command line, pointed at a trained root that belongs to this test alone."""
    shutil.copytree(trained_once, empty.root)
    return empty


@pytest.fixture(scope="session")
def bpr_once(tmp_path_factory, data_folder):
    """A root with BPR and published lists; nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LETHE_DB", raising=False)
        root = tmp_path_factory.mktemp("bpr") / "root"
        patch.setenv("LETHE_ROOT", str(root))
        lethe = Lethe(root)
        lethe.ok(*ingest_words(data_folder))
        lethe.ok("train", "--backbone", "bpr", "--scorer", "off")
        lethe.ok("recommend", "--all")
        lethe.close()
    return root


@pytest.fixture
def bpr(empty, bpr_once):
    """The command line, pointed at such a root that belongs to this test alone."""
    shutil.copytree(bpr_once, empty.root)
    return empty


@pytest.fixture(scope="session")
def sisa_once(tmp_path_factory, data_folder):
    """A root with BPR in four shards by SISA, of few epochs, and published lists; nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LETHE_DB", raising=False)
        root = tmp_path_factory.mktemp("sisa") / "root"
        patch.setenv("LETHE_ROOT", str(root))
        patch.setattr(recbole_models, "BPR_SETTINGS", replace(recbole_models.BPR_SETTINGS, epochs=5, dimension=8))
        lethe = Lethe(root)
        lethe.ok(*ingest_words(data_folder))
        lethe.ok("train", "--backbone", "bpr", "--shards", 4, "--scorer", "off")
        lethe.ok("recommend", "--all")
        lethe.close()
    return root


@pytest.fixture
def sisa(empty, sisa_once):
    """The command line, pointed at such a root that belongs to this test alone."""
    shutil.copytree(sisa_once, empty.root)
    return empty


@pytest.fixture
def few_epochs(monkeypatch):
    """BPR and LightGCN trained shortly."""
    for name in ("BPR_SETTINGS", "LIGHTGCN_SETTINGS"):
        monkeypatch.setattr(recbole_models, name, replace(getattr(recbole_models, name), epochs=5, dimension=8))
