"""Malformed arguments, files and surroundings: one line that says what and how to mend it, and nothing is changed.

What `lethe ingest` makes of malformed data sets is tested in test_ingest_malformed.
"""

import fcntl
import json
import shutil
import sqlite3

import pytest

from tests.pipelines.commands import PEOPLE, SOMEBODY, erased, files_under, forgotten, logical_dump, subjects_file


@pytest.fixture(scope="module")
def still(trained_once, tmp_path_factory):
    """One root for every command that must change nothing, with an erased and an open request and a done job."""
    from tests.pipelines.commands import Lethe

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("still")
        patch.delenv("LETHE_DB", raising=False)
        patch.setenv("LETHE_ROOT", str(folder / "root"))
        shutil.copytree(trained_once, folder / "root")
        lethe = Lethe(folder / "root")
        forgotten(lethe, PEOPLE[1])
        erased(lethe)
        done = lethe.read("recommend", "--all")["job"]
        forgotten(lethe, PEOPLE[2])
        place = folder / "place"
        place.mkdir()
        (place / "empty").write_bytes(b"\n\n")
        (place / "binary").write_bytes(bytes(range(256)))
        (place / "control").write_bytes(b"a\x00b\n")
        (place / "foreign.json").write_text('{"certificates": 7}')
        (place / "text.json").write_text("hello")
        (place / "nobody.json").write_text(json.dumps({"certificates": [{"request": request_of(lethe)}]}))
        yield lethe, {"PLACE": place, "DONE": done, "REQUEST": request_of(lethe), "ROOT": lethe.root}
        lethe.close()


def request_of(lethe):
    return json.loads(subjects_file(lethe).read_text())["certificates"][0]["request"]


BAD = [
    # a person, an item, a date
    ("forget user nobody", 1, "user nobody"),
    (f"forget user {PEOPLE[1]}", 1, "no data for user"),
    (f"forget user {PEOPLE[2]}", 1, "already forgotten"),
    (f"forget user {SOMEBODY} --item nothing", 1, "no visible interaction matches nothing"),
    (f"forget user {SOMEBODY} --category Western", 1, "matches Western"),
    (f"forget user {SOMEBODY} --category Comedy --category Western", 1, "matches Western"),
    (f"forget user {SOMEBODY} --before 1980-01-01", 1, "before 1980-01-01"),
    (f"forget user {SOMEBODY} --before 1998-13-01", 2, "1998-13-01"),
    (f"forget user {SOMEBODY} --before yesterday", 2, "yesterday"),
    (f"forget user {SOMEBODY} --deadline 0", 2, "--deadline"),
    (f"forget user {SOMEBODY} --deadline 99999999999", 2, "--deadline"),
    (f"forget user {SOMEBODY} --dry-run --now", 2, "give one of them"),
    ("forget user", 2, "give one USER"),
    (f"forget user {SOMEBODY} --users-file PLACE/empty", 2, "give one USER"),
    ("forget user --users-file PLACE/empty", 1, "names nobody"),
    ("forget user --users-file PLACE/binary", 1, "is no UTF-8 text"),
    ("forget user --users-file PLACE/control", 1, "control characters"),
    ("forget user --users-file PLACE/missing", 1, "cannot be read: No such file"),
    ("forget user --users-file PLACE", 1, "cannot be read: Is a directory"),
    ("forget user -", 1, "standard input names nobody"),
    ("forget user \udcff\udcfe", 1, "is no UTF-8 text"),
    ("forget everything", 2, "everything"),
    # recommend
    ("recommend", 2, "one of them"),
    (f"recommend {SOMEBODY} --all", 2, "one of them"),
    ("recommend nobody", 1, "no data for this user: nobody"),
    (f"recommend {SOMEBODY} nobody", 1, "no data for this user: nobody"),
    (f"recommend {PEOPLE[2]}", 1, "no data for this user"),
    ("recommend --users-file PLACE/binary", 1, "is no UTF-8 text"),
    ("recommend --users-file PLACE/empty", 1, "names nobody"),
    (f"recommend {SOMEBODY} --top 0", 1, "--top is 0"),
    (f"recommend {SOMEBODY} --top -1", 1, "--top is -1"),
    (f"recommend {SOMEBODY} --top abc", 2, "--top"),
    (f"recommend {SOMEBODY} --top 60", 1, "raise --candidates"),
    (f"recommend {SOMEBODY} --candidates 100000", 1, "--candidates is 100000"),
    (f"recommend {SOMEBODY} --length -1", 1, "--length is -1"),
    (f"recommend {SOMEBODY} --weight 2", 2, "--weight"),
    (f"recommend {SOMEBODY} --weight nan", (1, 2), "--weight"),
    (f"recommend {SOMEBODY} --retrieve magic", 1, "--retrieve is 'magic'"),
    (f"recommend {SOMEBODY} --filter magic", 1, "--filter is 'magic'"),
    (f"recommend {SOMEBODY} --filter attention", 1, "train --filter attention"),
    (f"recommend {SOMEBODY} --filter diversity", 1, "train --filter diversity"),
    (f"recommend {SOMEBODY} --scorer magic", 1, "--scorer is 'magic'"),
    (f"recommend {SOMEBODY} --scorer packed", 1, "train --scorer packed"),
    (f"recommend {SOMEBODY} --scorer packed --weight 0.5 --model PLACE/missing", 1, "missing"),
    (f"recommend {SOMEBODY} --scorer packed --weight 0.5 --model PLACE/empty", 1, "empty"),
    (f"recommend {SOMEBODY} --backbone lightgcn", 1, "train --backbone lightgcn"),
    (f"recommend {SOMEBODY} --backbone magic", 1, "magic"),
    (f"recommend {SOMEBODY} --out PLACE/x.parquet", 2, "--out goes with --all"),
    ("recommend --all --out PLACE/missing/x.parquet", 1, "no place for a file"),
    ("recommend --all --out PLACE", 1, "no place for a file"),
    ("recommend --all --out PLACE/empty", 1, "end in .parquet"),
    ("recommend --all --out ROOT/lethe.db", 1, "end in .parquet"),
    ("recommend --all --out ROOT/artifacts/x.parquet", 1, "the store's own files"),
    ("recommend --resume j0", 1, "there is no job j0"),
    ("recommend --resume DONE", 1, "nothing to resume"),
    # train
    ("train --backbone magic", 1, "--backbone is 'magic'"),
    ("train --filter magic", 1, "--filter is 'magic'"),
    ("train --scorer magic", 1, "--scorer is 'magic'"),
    ("train --retrieve magic", 1, "--retrieve is 'magic'"),
    ("train --seed -1", 1, "--seed is -1"),
    ("train --seed x", 2, "--seed"),
    ("train --candidates 0", 1, "--candidates is 0"),
    ("train --candidates 5", 1, "raise --candidates"),
    # erase and verify
    ("erase --method magic", 2, "magic"),
    ("erase --certificate ROOT/c.json", 1, "lies inside the root"),
    ("erase --certificate PLACE/missing/c.json", 1, "is no folder"),
    ("erase --certificate PLACE/foreign.json", 1, "not a certificate file"),
    ("erase --certificate PLACE/text.json", 1, "cannot be read as a certificate"),
    ("erase --certificate PLACE", 1, "cannot be read as a certificate"),
    ("verify", 2, "REQUEST"),
    ("verify r0", 1, "there is no request r0"),
    ("verify REQUEST --certificate PLACE/foreign.json", 1, "not a certificate file"),
    ("verify REQUEST --certificate PLACE/binary", 1, "cannot be read as a certificate"),
    ("verify REQUEST --certificate PLACE/missing", 1, "cannot be read as a certificate"),
    ("verify REQUEST --certificate PLACE/nobody.json", 1, "names no subject"),
    ("verify r1 --certificate PLACE/nobody.json", 1, "holds nothing on request r1"),
    # anything
    ("status --root PLACE/empty", 1, "is a file"),
    ("status --root PLACE/missing", 1, "no store in"),
    ("magic", 2, "magic"),
    ("status --magic", 2, "--magic"),
]


def one_line(outcome, status, fragment):
    """The end every refusal must have."""
    expected = status if isinstance(status, tuple) else (status,)
    assert outcome.status in expected, outcome.err + outcome.out
    assert fragment in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    if outcome.status != 2:
        (last,) = outcome.err.splitlines()
        assert last.startswith("lethe: ")


@pytest.mark.parametrize(("words", "status", "fragment"), BAD, ids=[ascii(words)[1:-1] for words, *_ in BAD])
def test_a_bad_argument_is_told_in_one_line_and_changes_nothing(still, monkeypatch, words, status, fragment):
    lethe, names = still
    monkeypatch.delenv("LETHE_DB", raising=False)
    monkeypatch.setenv("LETHE_ROOT", str(lethe.root))
    for name, value in names.items():
        words = words.replace(name, str(value))
    before = logical_dump(lethe.store), files_under(lethe.root), files_under(names["PLACE"])
    one_line(lethe(*words.split()), status, fragment)
    assert (logical_dump(lethe.store), files_under(lethe.root), files_under(names["PLACE"])) == before


@pytest.mark.parametrize(
    ("toml", "fragment"),
    [
        ("backbones = 'ease'", "backbones is no setting; known: backbone, "),
        ("top = 'ten'", "top is 'ten'"),
        ("top = 0", "top is 0"),
        ("[backbone]\nname = 'ease'", "backbone is "),
        ("backbone = ", "is not TOML"),
        ("model = ''", "model is ''"),
        ("seed = 1e400", "seed is inf"),
        (b"\xff\xfe", "is not TOML"),
    ],
)
def test_a_configuration_that_does_not_fit(lethe, toml, fragment):
    (lethe.root / "lethe.toml").write_bytes(toml if isinstance(toml, bytes) else toml.encode())
    before = logical_dump(lethe.store), files_under(lethe.root)
    one_line(lethe("train"), 1, fragment)
    assert (logical_dump(lethe.store), files_under(lethe.root)) == before


def test_downdate_is_refused_for_another_backbone_before_anything_is_done(lethe):
    lethe.ok("train", "--backbone", "popularity", "--scorer", "off")
    lethe.ok("recommend", "--all")
    forgotten(lethe, SOMEBODY)
    before = logical_dump(lethe.store)
    one_line(lethe("erase", "--method", "downdate"), 1, "for ease, not for popularity")
    assert logical_dump(lethe.store) == before


def test_nothing_is_recommended_before_training_nor_trained_before_ingest(empty, data_folder):
    one_line(empty("recommend", "1"), 1, "no store in")
    assert not empty.root.exists()
    goods, nobody = data_folder / "items.csv", data_folder.parent / "nobody.csv"
    nobody.write_text("user_id,item_id,rating,timestamp\n")
    empty("ingest", "files", "--interactions", nobody, "--items", goods)
    one_line(empty("train", "--backbone", "ease", "--scorer", "off"), 1, "run `lethe ingest` first")
    one_line(empty("recommend", "--all"), 1, "run `lethe train`")


@pytest.mark.parametrize("kind", ["backbone", "popularity", "settings", "text-index"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_artefacts_are_not_served(lethe, kind, damage):
    (folder,) = (lethe.root / "artifacts" / kind).glob("*/gen-*")
    if damage == "missing":
        shutil.rmtree(folder)
    else:
        path = max(folder.iterdir(), key=lambda file: file.stat().st_size)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    one_line(lethe("recommend", SOMEBODY), 1, "run `lethe train`")


@pytest.mark.parametrize("words", ["erase", "train --backbone ease --scorer off"])
def test_a_second_maintainer_waits_its_turn(lethe, words):
    forgotten(lethe, SOMEBODY)
    before = logical_dump(lethe.store)
    with (lethe.root / "maintainer.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        one_line(lethe(*words.split()), 75, "run this again when it ends")
    assert logical_dump(lethe.store) == before


def test_a_store_that_another_process_writes_is_busy(lethe, monkeypatch):
    monkeypatch.setattr("db.store.BUSY_TIMEOUT_MS", 50)
    other = sqlite3.connect(lethe.root / "lethe.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    one_line(lethe("forget", "user", SOMEBODY), 75, "is busy; nothing was changed")
    other.rollback()
    other.close()
    forgotten(lethe, SOMEBODY)


DATABASES = {
    "noise": lambda path: path.write_bytes(b"not a database" * 400),
    "other": lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close(),
    "newer": lambda path: None,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 8192),
}


@pytest.mark.parametrize(
    ("kind", "fragment"),
    [
        ("noise", "file is not a database"),
        ("other", "holds no lethe tables"),
        ("newer", "upgrade lethe"),
        ("torn", "malformed"),
    ],
)
@pytest.mark.parametrize("words", ["status", f"forget user {SOMEBODY}", "recommend --all", "erase"])
def test_a_database_that_is_not_ours(lethe, kind, fragment, words):
    path = lethe.root / "lethe.db"
    if kind in ("noise", "other"):
        path.unlink()
    if kind == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
    DATABASES[kind](path)
    one_line(lethe(*words.split()), 1, fragment)


@pytest.mark.parametrize(
    ("url", "fragment"),
    [
        ("mysql://localhost/lethe", "is of no known kind"),
        ("lethe.db", "is of no known kind"),
        ("postgresql://", "cannot be used"),
        ("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2", "cannot be used"),
        ("postgresql://host:port/none", "is no database address"),
        ("postgresqlx://host/none", "is of no known kind"),
    ],
)
def test_a_database_address_that_leads_nowhere(lethe, monkeypatch, url, fragment):
    monkeypatch.setenv("LETHE_DB", url)
    before = files_under(lethe.root)
    one_line(lethe("status"), 1, fragment)
    assert files_under(lethe.root) == before


@pytest.mark.parametrize("root", ["file", "file/below", "/proc/lethe"])
def test_a_root_that_cannot_be_one(empty, tmp_path, data_folder, root):
    (tmp_path / "file").write_text("mine")
    words = ["ingest", "files", "--interactions", data_folder / "interactions.csv"]
    outcome = empty(*words, "--items", data_folder / "items.csv", "--root", tmp_path / root)
    one_line(outcome, 1, "--root")
    assert (tmp_path / "file").read_text() == "mine"
