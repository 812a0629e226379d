"""Bad input: each is refused in one line that names the value, and the store keeps every byte it had."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import select

from db.errors import LetheError
from db.schema import metadata
from db.store import Store
from pipelines.ingest.columns import parse_map
from pipelines.ingest.job import ingest
from pipelines.ingest.limits import Limits
from pipelines.ingest.read import read_files, read_movielens, read_recbole
from pipelines.ingest.reject_file import next_reject_file, register_rejects
from pipelines.ingest.rejects import RejectedRowsError
from tests.pipelines import ingest_files as files

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL = Limits(file_bytes=50_000, rows=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that already holds a data set."""
    root = tmp_path_factory.mktemp("malformed")
    opened = Store.open(root / "root", create=True)
    ingest(opened, read_movielens(files.movielens_csv(root / "data")), now=NOW)
    yield opened
    opened.close()


def everything(store):
    """All rows of all tables, and the names of all files, but for SQLite's own."""
    with store.reading() as unit:
        rows = {table.name: unit.connection.execute(select(table)).all() for table in metadata.sorted_tables}
    return rows, sorted(p for p in store.root.rglob("*") if not p.name.startswith("lethe.db"))


def refusal(store, reader, **options):
    """The message with which a reader, or the writing after it, refuses; the store is shown to be as before."""
    before = everything(store)
    with pytest.raises(LetheError) as caught:
        ingest(store, reader(**options), now=NOW)
    assert everything(store) == before
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def rating(*rows):
    return "userId,movieId,rating,timestamp\n" + "".join(f"{row}\n" for row in rows)


def movie(*rows):
    return "movieId,title,genres\n" + "".join(f"{row}\n" for row in rows)


LONG = "x" * 2000
RATINGS = {
    "empty user id": (rating(",10,4,5"), "line 2: user_id '' is empty"),
    "empty item id": (rating("1,,4,5"), "line 2: item_id '' is empty"),
    "blank before an id": (rating("1,10,4,5", " 2,10,4,5"), "line 3: user_id ' 2' begins or ends with a blank"),
    "control character in an id": (rating("1\x07,10,4,5"), r"user_id '1\x07' holds a control"),
    "zero-width character in an id": (rating("1\u200b,10,4,5"), r"user_id '1\u200b' holds a control or invisible"),
    "direction override in an id": (rating("\u202e1,10,4,5"), r"'\u202e1' holds a control or invisible"),
    "id over the cap": (rating(f"{LONG},10,4,5"), "is longer than 256 characters"),
    "unknown item": (rating("1,10,4,5", "1,99,4,5"), "line 3: item_id '99' is not in the item file"),
    "word for a rating": (rating("1,10,good,5"), "rating 'good' is not a number"),
    "decimal comma": (rating('1,10,"4,5",5'), "rating '4,5' is not a number"),
    "rating not a number": (rating("1,10,NaN,5"), "rating 'NaN' is not a finite number"),
    "infinite rating": (rating("1,10,-inf,5"), "rating '-inf' is not a finite number"),
    "overflowing rating": (rating("1,10,1e999,5"), "rating '1e999' is not a finite number"),
    "huge rating": (rating("1,10,1e30,5"), "rating '1e30' is not between -1,000,000 and 1,000,000"),
    "negative timestamp": (rating("1,10,4,-5"), "timestamp '-5' is not between 0 and 4,102,444,800 (unix seconds)"),
    "milliseconds": (rating("1,10,4,964982703000"), "timestamp '964982703000' is not between"),
    "timestamp of thirty digits": (rating("1,10,4," + "9" * 30), "timestamp '" + "9" * 30 + "' is not between"),
    "date for a timestamp": (rating("1,10,4,2001-01-01"), "timestamp '2001-01-01' is not a number"),
    "timestamp not a number": (rating("1,10,4,nan"), "timestamp 'nan' is not a finite number"),
    "too few fields": (rating("1,10,4,5", "1,20,4"), "line 3: row '1,20,4' has 3 fields where 4 are expected"),
    "too many fields": (rating("1,10,4,5,6"), "line 2: row '1,10,4,5,6' has 5 fields where 4 are expected"),
    "blank line in the middle": (rating("1,10,4,5", "", "1,20,4,5"), "line 3: row '' has 1 fields"),
    "too few fields among quoted": (rating('"1",10,4,5', '"1",20'), "line 3: row '1,20' has 2 fields"),
    "lone carriage returns": ("userId,movieId,rating,timestamp\r1,10,4,5\r", "holds a single line"),
    "open quote": (rating('1,"10,4,5', "1,20,4,5"), "line 2 has a quoting mistake"),
    "text after a quote": (rating('1,"10"0,4,5'), "line 2 has a quoting mistake"),
    "header alone": (rating(), "'ratings.csv' holds a single line"),
    "no header": ("1,10,4,5\n1,20,4,5\n", "'ratings.csv' has no column 'userId' (it has '1', '10', '4', '5')"),
    "missing column": ("userId,rating\n1,4\n", "'ratings.csv' has no column 'movieId' (it has 'userId', 'rating')"),
    "column twice": ("userId,movieId,userId\n1,10,2\n", "'ratings.csv' has the column 'userId' twice"),
    "columns without end": (",".join(map(str, range(1001))) + "\n1\n", "'ratings.csv' has 1,001 columns"),
    "semicolons": ("userId;movieId\n1;10\n", "has no column 'userId' (it has 'userId;movieId')"),
    "empty file": ("", "'ratings.csv' is empty"),
    "line ends alone": ("\r\n\n\n", "'ratings.csv' is empty"),
    "NUL byte": (rating("1,10,4,5", "1\0,20,4,5"), "'ratings.csv' line 3 holds a NUL byte"),
    "latin-1": (rating("1,10,4,5").encode() + b"Zo\xeb,10,4,5\n", "'ratings.csv' line 3 is not UTF-8 (byte 0xeb)"),
    "overlong UTF-8": (rating("1,10,4,5").encode() + b"\xc0\xaf,10,4,5\n", "line 3 is not UTF-8 (byte 0xc0)"),
    "UTF-8 of a surrogate": (rating().encode() + b"\xed\xa0\x80,10,4,5\n", "line 2 is not UTF-8 (byte 0xed)"),
    "UTF-16": (rating("1,10,4,5").encode("utf-16"), "'ratings.csv' is UTF-16"),
    "gzip": (b"\x1f\x8b\x08\x00rest", "'ratings.csv' is gzip-compressed: unpack it first (gunzip)"),
    "zip": (b"PK\x03\x04rest", "'ratings.csv' is zip-compressed"),
    "zstd": (b"\x28\xb5\x2f\xfdrest", "'ratings.csv' is zstd-compressed"),
    "over the size cap": (rating(*["1,10,4,5"] * 6000), "is larger (54,032 bytes) than the cap of 50,000"),
    "over the row cap": (rating(*["1,10,4,5"] * 101), "'ratings.csv' holds 102 lines, over the cap of 100"),
}
MOVIES = {
    "empty title": (movie("10,,Drama", "20,B,", "30,C,"), "'movies.csv' line 2: title '' is empty"),
    "title of invisible characters": (movie("10,\u200b\u2060,", "20,B,"), "line 2: title '' is empty"),
    "title over the cap": (movie(f"10,{LONG},", "20,B,"), "is longer than 1,024 characters"),
    "one item, two titles": (movie("10,A,", "20,B,", "10,C,"), "line 4: item_id '10' comes again with another title"),
    "one item, two genres": (movie("10,A,X", "20,B,", "10,A,Y"), "line 4: item_id '10' comes again with another"),
    "too many genres": (movie("10,A," + "|".join(map(str, range(65))), "20,B,"), "lists more than 64 genres"),
    "genre over the cap": (movie(f"10,A,{LONG}", "20,B,"), "holds a genre of more than 128 characters"),
    "year out of reach": (movie("10,A (0999),", "20,B,"), "year '999' is not between 1,000 and 2,999"),
    "unquoted comma": (
        movie("10,Good, the Bad,Western", "20,B,"),
        "line 2: row '10,Good, the Bad,Western' has 4 fields",
    ),
    "empty id": (movie(",A,", "20,B,"), "line 2: item_id '' is empty"),
    "binary": (bytes(range(1, 256)) * 3, "'movies.csv' line "),
}


@pytest.mark.parametrize("name", RATINGS)
def test_malformed_ratings(store, tmp_path, name):
    content, told = RATINGS[name]
    root = files.movielens_csv(tmp_path, ratings=content)
    assert told in refusal(store, lambda: read_movielens(root, limits=SMALL))


@pytest.mark.parametrize("name", MOVIES)
def test_malformed_movies(store, tmp_path, name):
    content, told = MOVIES[name]
    root = files.movielens_csv(tmp_path, movies=content)
    assert told in refusal(store, lambda: read_movielens(root, limits=SMALL))


MOVIELENS = {
    "u.item without a flag": (
        {"u__data": files.U_DATA, "u__item": "242|A (1990)|||u|" + "0|" * 17 + "0\n"},
        "23 fields",
    ),
    "u.item with a flag of 2": (
        {"u__data": files.U_DATA, "u__item": files.U_ITEM.replace("|1|1|1|", "|1|2|1|").encode("latin-1")},
        "line 1: genres '0|0|0|1|2|1|0",
    ),
    "u.data parted by commas": ({"u__data": "1,242,3,5\n", "u__item": files.U_ITEM}, "row '1,242,3,5' has 1 fields"),
    "ratings.dat parted by one colon": (
        {"ratings__dat": "1:10:4:5\n", "movies__dat": "10::A (1990)::\n"},
        "'ratings.dat' line 1: row '1:10:4:5' has 1 fields where 4",
    ),
    "two generations in one folder": (
        {"u__data": "", "u__item": "", "ratings__csv": "", "movies__csv": ""},
        "must hold one MovieLens data set, and holds u.data/u.item and ratings.csv/movies.csv",
    ),
    "half of a data set": ({"ratings__dat": "1::10::4::5\n"}, "has no 'movies.dat'"),
    "nothing known": ({"readme__txt": "hello"}, "must hold one MovieLens data set, and holds none"),
}


@pytest.mark.parametrize("name", MOVIELENS)
def test_malformed_movielens_folders(store, tmp_path, name):
    content, told = MOVIELENS[name]
    root = files.folder(tmp_path, **content)
    assert told in refusal(store, lambda: read_movielens(root))


RECBOLE = {
    "header without types": ({"inter": "user_id\titem_id\nu1\ti1\n"}, "'d.inter' has the column 'user_id'"),
    "unknown type": ({"inter": "user_id:string\titem_id:token\nu1\ti1\n"}, "has the column 'user_id:string'"),
    "no item column": ({"inter": "user_id:token\trating:float\nu1\t4\n"}, "'d.inter' has no column item_id"),
    "no title": ({"item": "item_id:token\tclass:token_seq\ni1\tDrama\n"}, "'d.item' has no column movie_title"),
    "ragged": ({"inter": files.INTER + "u1\ti1\n"}, "line 4: row 'u1\\ti1' has 2 fields where 4 are expected"),
    "person missing from the user file": (
        {"user": "user_id:token\nu1\n"},
        "'d.inter' line 3: user_id 'u2' is not in the user file",
    ),
    "empty user id": ({"user": files.USER + "\t1\tM\n"}, "'d.user' line 5: user_id '' is empty"),
    "year out of reach": ({"item": files.ITEM.replace("1995", "0001")}, "year '0001' is not between 1,000"),
}


@pytest.mark.parametrize("name", RECBOLE)
def test_malformed_recbole_folders(store, tmp_path, name):
    content, told = RECBOLE[name]
    root = files.recbole(tmp_path, **content)
    assert told in refusal(store, lambda: read_recbole(root))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({}, "must hold one .inter file, and holds none"),
        ({"a__inter": "", "b__inter": ""}, "must hold one .inter file, and holds 'a.inter', 'b.inter'"),
        ({"a__inter": files.INTER, "b__item": files.ITEM}, "has no 'a.item'"),
    ],
)
def test_recbole_folders_without_their_files(store, tmp_path, names, told):
    root = files.folder(tmp_path, **names)
    assert told in refusal(store, lambda: read_recbole(root))


def pair(root, rows, goods=None):
    """Interactions and items as Parquet; a dict is a frame, bytes are written as they are."""
    goods = {"item_id": ["i"], "title": ["Alien"]} if goods is None else goods
    for name, content in (("r.parquet", rows), ("i.parquet", goods)):
        if isinstance(content, bytes):
            (root / name).write_bytes(content)
        else:
            pl.DataFrame(content).write_parquet(root / name)
    return root / "r.parquet", root / "i.parquet"


PARQUET = {
    "not Parquet": (b"user_id,item_id\nu,i\n", None, "'r.parquet' is not a whole Parquet file"),
    "gzip": (b"\x1f\x8b\x08\x00rest", None, "'r.parquet' is not a whole Parquet file"),
    "empty": (b"", None, "'r.parquet' is empty"),
    "no rows": ({"user_id": pl.Series([], dtype=pl.String), "item_id": []}, None, "'r.parquet' holds no rows"),
    "no such column": ({"user": ["u"], "item_id": ["i"]}, None, "'r.parquet' has no column 'user_id'"),
    "fractional ids": (
        {"user_id": [1.5], "item_id": ["i"]},
        None,
        "column 'user_id' is 'Float64': user_id must be text",
    ),
    "yes or no for a rating": (
        {"user_id": ["u"], "item_id": ["i"], "rating": [True]},
        None,
        "column 'rating' is 'Boolean': rating must be numbers",
    ),
    "nested id": ({"user_id": [{"a": 1}], "item_id": ["i"]}, None, "column 'user_id' is \"Struct"),
    "list for a rating": ({"user_id": ["u"], "item_id": ["i"], "rating": [[4.0]]}, None, "'List(Float64)'"),
    "bytes for a title": ({"user_id": ["u"], "item_id": ["i"]}, {"item_id": ["i"], "title": [b"A"]}, "'Binary'"),
    "lists of numbers for genres": (
        {"user_id": ["u"], "item_id": ["i"]},
        {"item_id": ["i"], "title": ["A"], "genres": [[1]]},
        "genres must be lists of text",
    ),
    "null id": ({"user_id": ["u", None], "item_id": ["i", "i"]}, None, "line 2: user_id '' is empty"),
    "rating not a number": ({"user_id": ["u"], "item_id": ["i"], "rating": [float("nan")]}, None, "rating 'NaN'"),
    "moment before 1970": (
        {"user_id": ["u"], "item_id": ["i"], "timestamp": [datetime(1969, 12, 31, tzinfo=UTC)]},
        None,
        "timestamp '-86400' is not between",
    ),
    "half a year": (
        {"user_id": ["u"], "item_id": ["i"]},
        {"item_id": ["i"], "title": ["A"], "year": [1999.5]},
        "year '1999.5' is not a whole number",
    ),
    "over the row cap": ({"user_id": ["u"] * 101, "item_id": ["i"] * 101}, None, "holds 101 rows, over the cap of 100"),
}


@pytest.mark.parametrize("name", PARQUET)
def test_malformed_parquet(store, tmp_path, name):
    rows, goods, told = PARQUET[name]
    paths = pair(tmp_path, rows, goods)
    assert told in refusal(store, lambda: read_files(*paths, limits=SMALL))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_parquet_cut_off(store, tmp_path, kept):
    paths = pair(tmp_path, {"user_id": ["u"] * 50, "item_id": ["i"] * 50})
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: int(len(whole) * kept)])
    assert "'r.parquet' is not a whole Parquet file" in refusal(store, lambda: read_files(*paths))


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["user_id"], "--map 'user_id' names no column"),
        (["user_id="], "--map 'user_id=' names no column"),
        (["=userId"], "--map '=userId' names an unknown field"),
        (["usr=userId"], "--map 'usr=userId' names an unknown field: choose one of user_id, item_id"),
        (["users.title=x"], "--map 'users.title=x' names an unknown field"),
        (["user_id=a", "user_id=b"], "--map gives 'user_id' twice ('a', 'b')"),
        (["user_id=a\nb"], r"has no column 'a\nb'"),
        (["user_id=who"], "'r.csv' has no column 'who' (it has 'user_id', 'item_id'): name one with --map user_id="),
        (["rating=stars"], "'r.csv' has no column 'stars'"),
        (["items.item_id=asin"], "'i.csv' has no column 'asin'"),
        (["rating=user_id"], "--map gives the column 'user_id' to user_id and to rating"),
        (["users.user_id=who"], "--map 'users.user_id' has no file to map"),
    ],
)
def test_malformed_maps(store, tmp_path, pairs, told):
    files.folder(tmp_path, r__csv="user_id,item_id\nu,i\n", i__csv="item_id,title\ni,Alien\n")
    told_by = refusal(store, lambda: read_files(tmp_path / "r.csv", tmp_path / "i.csv", None, parse_map(pairs)))
    assert told in told_by


def plant(root: Path, kind: str) -> Path:
    """A path that cannot be read as a file."""
    path = root / "r.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(root / "s.csv")
        (root / "s.csv").symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to(root / "gone.csv")
    elif kind == "below a file":
        path.write_text("x")
        return path / "r.csv"
    elif kind == "name too long":
        return root / ("r" * 300 + ".csv")
    elif kind == "NUL in the name":
        return root / "r\0.csv"
    elif kind == "device":
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "No such file or directory"),
        ("folder", "is a folder where a file is expected"),
        ("loop", "Too many levels of symbolic links"),
        ("pipe", "is not a regular file"),
        ("device", "is not a regular file"),
        ("dangling link", "No such file or directory"),
        ("below a file", "Not a directory"),
        ("name too long", "File name too long"),
        ("NUL in the name", "embedded null byte"),
    ],
)
def test_paths_that_are_no_files(store, tmp_path, kind, told):
    items = files.folder(tmp_path / "items", i__csv="item_id,title\ni,Alien\n") / "i.csv"
    path = plant(tmp_path, kind)
    message = refusal(store, lambda: read_files(path, items))
    assert told in message
    assert ".csv'" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission(store, tmp_path):
    root = files.movielens_csv(tmp_path)
    (root / "ratings.csv").chmod(0)
    assert "Permission denied" in refusal(store, lambda: read_movielens(root))


@pytest.mark.parametrize("suffix", ["csv.gz", "xlsx", "json", "", "CSV.bak"])
def test_suffixes_of_no_known_format(store, tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    path.write_text("user_id,item_id\nu,i\n")
    assert "has no known suffix: give one of .csv" in refusal(store, lambda: read_files(path, path))


@pytest.mark.parametrize("reader", [read_movielens, read_recbole])
@pytest.mark.parametrize("name", ["missing", "file", "new\nline"])
def test_folders_that_are_none(store, tmp_path, reader, name):
    (tmp_path / "file").write_text("x")
    assert "cannot list the folder" in refusal(store, lambda: reader(tmp_path / name))


def test_all_bad_rows_are_listed_with_their_lines(tmp_path):
    root = files.movielens_csv(
        tmp_path / "data",
        ratings=rating("1,10,4,5", "secret-person,10,bad,-1", "1,20", "\u200bsecret-person,10,4,5", "1,20,4,5"),
        movies=movie('10,"two\nlines",', "20,,", "30,C,"),
    )
    listing = tmp_path / "new" / "folder" / "rejects.jsonl"
    with pytest.raises(RejectedRowsError, match="4 rows are bad and nothing was taken") as caught:
        read_movielens(root, rejects=listing)
    assert (caught.value.rows, caught.value.path) == (4, listing)
    told = [json.loads(line) for line in listing.read_text().splitlines()]
    assert [(r["file"], r["line"], r["field"], r["value"]) for r in told] == [
        ("movies.csv", 4, "title", ""),
        ("ratings.csv", 3, "rating", "bad"),
        ("ratings.csv", 3, "timestamp", "-1"),
        ("ratings.csv", 4, "row", None),
        ("ratings.csv", 5, "user_id", None),
    ]
    assert "secret-person" not in listing.read_text()
    assert listing.stat().st_mode & 0o077 == 0


def test_a_bad_item_does_not_condemn_its_interactions(tmp_path):
    root = files.movielens_csv(tmp_path, movies=movie("10,,", "20,B,"))
    with pytest.raises(RejectedRowsError, match="1 row is bad"):
        read_movielens(root)


def test_the_reject_file_has_an_end_and_the_count_does_not(tmp_path):
    root = files.movielens_csv(tmp_path / "data", ratings=rating(*["1,10,bad,5"] * 50))
    listing = tmp_path / "rejects.jsonl"
    with pytest.raises(RejectedRowsError, match="50 rows"):
        read_movielens(root, rejects=listing, limits=Limits(listed_rejects=7))
    assert len(listing.read_text().splitlines()) == 7


def test_a_reject_file_that_cannot_be_written(tmp_path):
    root = files.movielens_csv(tmp_path / "data", ratings=rating("1,10,bad,5"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(LetheError, match=r"cannot write the reject file .* choose another place") as caught:
        read_movielens(root, rejects=tmp_path / "file" / "rejects.jsonl")
    assert str(caught.value).isprintable()


def test_good_data_leaves_no_reject_file(tmp_path):
    read_movielens(files.movielens_csv(tmp_path / "data"), rejects=tmp_path / "rejects.jsonl")
    assert not (tmp_path / "rejects.jsonl").exists()


def test_a_reject_file_under_the_root_is_an_artefact_that_every_later_erase_reaches(tmp_path):
    from db import artifacts, requests
    from db.records import Selection, UserId

    store = Store.open(tmp_path / "root", create=True)
    ingest(store, read_movielens(files.movielens_csv(tmp_path / "data")), now=NOW)
    bad = files.movielens_csv(tmp_path / "bad", ratings=rating("1,10,bad,5"))
    with pytest.raises(RejectedRowsError) as caught:
        read_movielens(bad, rejects=next_reject_file(store))
    kept = register_rejects(store, caught.value.path)
    with store.writing() as unit:
        request = requests.shield(unit, UserId("1"), Selection(), now=NOW)
        assert [a.id for a in artifacts.descending(unit, request.epoch)] == [kept.id]
        assert artifacts.unregistered(unit) == []
    artifacts.destroy_bytes(store.root, kept)
    assert not caught.value.path.exists()
    store.close()
