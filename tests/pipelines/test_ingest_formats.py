"""Each format on a small hand-made data set, with hand-written expectations."""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.ingest.columns import parse_map
from pipelines.ingest.dataset import INTERACTIONS, ITEMS, USERS, Dataset, Source
from pipelines.ingest.read import read_files, read_ml100k, read_movielens, read_recbole
from tests.pipelines import ingest_files as files


def test_ml100k_of_the_recbole_package():
    data = read_ml100k()
    assert (data.users.height, data.items.height, data.interactions.height) == (943, 1682, 100_000)
    assert data.interactions.row(0) == ("196", "242", 3.0, 881250949)
    assert data.items.row(0) == ("1", "Toy Story", 1995, ["Animation", "Children's", "Comedy"], "")
    assert data.items.filter(pl.col("year").is_null())["item_id"].to_list() == ["267", "1412"]
    assert data.items.filter(pl.col("genres").list.len() == 0)["item_id"].to_list() == ["267", "1373"]
    assert data.source.kind == "ml-100k"


def test_reading_ml100k_imports_neither_recbole_nor_torch():
    code = (
        "import sys; from pipelines.ingest.read import read_ml100k; read_ml100k()\n"
        "print('recbole' in sys.modules, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_no_demographic_column_is_kept(tmp_path):
    data = read_recbole(files.recbole(tmp_path))
    assert data.users.to_dict(as_series=False) == {"user_id": ["u1", "u2", "u3"]}


def test_recbole_atomic_files(tmp_path):
    data = read_recbole(files.recbole(tmp_path))
    assert data.interactions.rows() == [("u1", "i1", 4.0, 881250949), ("u2", "i2", 3.0, 891717742)]
    assert data.items.rows() == [
        ("i1", "Toy Story", 1995, ["Animation", "Children's"], ""),
        ("i2", "The Butcher Boy", None, [], ""),
    ]


def test_a_recbole_folder_needs_neither_users_nor_ratings_nor_genres(tmp_path):
    inter = "item_id:token\tuser_id:token\textra:float\ni1\tu1\t0.5\n"
    root = files.folder(tmp_path, d__inter=inter, d__item="title:token\titem_id:token\nAlien\ti1\n")
    data = read_recbole(root)
    assert data.interactions.rows() == [("u1", "i1", None, None)]
    assert data.items.rows() == [("i1", "Alien", None, [], "")]
    assert data.users["user_id"].to_list() == ["u1"]


def test_a_recbole_genre_of_type_token_is_one_genre(tmp_path):
    item = "item_id:token\ttitle:token\tgenre:token\ni1\tAlien\tScience Fiction\ni2\tFargo\tunknown\n"
    data = read_recbole(files.recbole(tmp_path, item=item))
    assert data.items["genres"].to_list() == [["Science Fiction"], []]


def test_movielens_100k(tmp_path):
    data = read_movielens(files.ml100k(tmp_path))
    assert data.interactions.rows() == [("196", "242", 3.0, 881250949), ("186", "302", 3.0, 891717742)]
    assert data.items.rows() == [
        ("242", "Kolya", 1996, ["Animation", "Children's", "Comedy"], ""),
        ("302", "Les Misérables", 1995, [], ""),
    ]
    assert data.users["user_id"].to_list() == ["196", "186"]


def test_movielens_100k_knows_every_flag(tmp_path):
    lines = [f"{n}|Film {n} (1990)|||u|" + "|".join("1" if k == n else "0" for k in range(19)) for n in range(19)]
    data = read_movielens(files.ml100k(tmp_path, data="1\t0\t3\t5\n", item="\n".join(lines)))
    assert data.items["genres"].list.first().to_list() == [
        None,
        *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
        *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
    ]


def test_movielens_1m_in_latin1(tmp_path):
    movies = "10::Misérables, Les (1995)::Drama|Musical\n20::Seven (a.k.a. Se7en) (1995)::Crime\n"
    ratings = "1::10::5::978300760\n1::20::3::978302109\n"
    root = files.folder(tmp_path, ratings__dat=ratings, movies__dat=movies.encode("latin-1"))
    data = read_movielens(root)
    assert data.items.rows() == [
        ("10", "Les Misérables", 1995, ["Drama", "Musical"], ""),
        ("20", "Seven (a.k.a. Se7en)", 1995, ["Crime"], ""),
    ]
    assert data.interactions.rows() == [("1", "10", 5.0, 978300760), ("1", "20", 3.0, 978302109)]


def test_movielens_10m_in_utf8_with_half_stars(tmp_path):
    root = files.folder(tmp_path, ratings__dat="1::10::4.5::838985046\n", movies__dat="10::Misérables, Les (1995)::\n")
    data = read_movielens(root)
    assert data.items.row(0) == ("10", "Les Misérables", 1995, [], "")
    assert data.interactions["rating"].to_list() == [4.5]


def test_movielens_csv(tmp_path):
    data = read_movielens(files.movielens_csv(tmp_path))
    assert data.items.rows() == [
        ("10", "The Matrix", 1999, ["Action", "Sci-Fi"], ""),
        ("20", "Babylon 5", None, [], ""),
        ("30", '"Great Performances" Cats', 1998, ["Musical"], ""),
    ]
    assert data.interactions.row(1) == ("1", "20", 3.5, 964981247)


def test_a_byte_order_mark_and_windows_line_ends_are_read_over(tmp_path):
    plain = read_movielens(files.movielens_csv(tmp_path / "plain"))
    ratings = "\ufeff" + files.RATINGS_CSV.replace("\n", "\r\n")
    movies = "\ufeff" + files.MOVIES_CSV.replace("\n", "\r\n") + "\r\n"
    other = read_movielens(files.movielens_csv(tmp_path / "other", ratings, movies))
    assert other.interactions.equals(plain.interactions)
    assert other.items.equals(plain.items)


def test_csv_files_with_a_map(tmp_path):
    files.folder(
        tmp_path,
        r__csv="who,what,stars\nann,a1,5\nbob,a2,\n",
        i__csv='asin,name,when,kind,text,price\na1,"One, two",2001,A|B,"He said ""hi""\nand left",9\na2,Three,,,,1\n',
        u__csv="person\nann\nbob\ncyd\n",
    )
    pairs = ["interactions.user_id=who", "users.user_id=person", "items.item_id=asin", "interactions.item_id=what"]
    mapping = parse_map([*pairs, "rating=stars", "title=name", "year=when", "genres=kind", "description=text"])
    data = read_files(tmp_path / "r.csv", tmp_path / "i.csv", tmp_path / "u.csv", mapping)
    assert data.interactions.rows() == [("ann", "a1", 5.0, None), ("bob", "a2", None, None)]
    assert data.items.rows() == [
        ("a1", "One, two", 2001, ["A", "B"], 'He said "hi" and left'),
        ("a2", "Three", None, [], ""),
    ]
    assert data.users["user_id"].to_list() == ["ann", "bob", "cyd"]


def test_a_map_for_both_files_falls_back_to_the_fields_own_name(tmp_path):
    files.folder(tmp_path, r__csv="user_id,item_id\nu,i\n", i__csv="item_id,name\ni,Alien\n")
    data = read_files(tmp_path / "r.csv", tmp_path / "i.csv", None, {"title": "name"})
    assert data.items["title"].to_list() == ["Alien"]


def test_tsv_files_take_quotes_as_they_are(tmp_path):
    files.folder(tmp_path, r__tsv="user_id\titem_id\nu\ti\n", i__tsv='item_id\ttitle\ni\t"Crocodile" Dundee, 2\n')
    data = read_files(tmp_path / "r.tsv", tmp_path / "i.tsv")
    assert data.items["title"].to_list() == ['"Crocodile" Dundee, 2']


def test_parquet_files(tmp_path):
    moment = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    rows = {"user_id": ["u1", "u2"], "item_id": [7, 8], "rating": [4, None], "timestamp": [moment, moment]}
    goods = {"item_id": ["7", "8"], "title": ["Alien", "Fargo"], "year": [1979.0, None], "genres": [["Horror"], []]}
    pl.DataFrame(rows).write_parquet(tmp_path / "r.parquet")
    pl.DataFrame(goods).write_parquet(tmp_path / "i.pq")
    data = read_files(tmp_path / "r.parquet", tmp_path / "i.pq")
    assert data.interactions.rows() == [("u1", "7", 4.0, 1_000_000_000), ("u2", "8", None, 1_000_000_000)]
    assert data.items.rows() == [("7", "Alien", 1979, ["Horror"], ""), ("8", "Fargo", None, [], "")]


def test_parquet_moments_of_every_kind_are_unix_seconds(tmp_path):
    berlin = pl.Series([datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)]).dt.convert_time_zone("Europe/Berlin")
    kinds = {
        "zoned": (berlin, 1_000_000_000),
        "naive": (pl.Series([datetime(2001, 9, 9, 1, 46, 40)], dtype=pl.Datetime("ns")), 1_000_000_000),
        "day": (pl.Series([date(2001, 9, 9)]), 999_993_600),
        "number": (pl.Series([1e9]), 1_000_000_000),
        "text": (pl.Series(["1000000000"]), 1_000_000_000),
        "unknown": (pl.Series([None]), None),
    }
    pl.DataFrame({"item_id": ["i"], "title": ["Alien"]}).write_parquet(tmp_path / "i.parquet")
    for moments, expected in kinds.values():
        pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": moments}).write_parquet(tmp_path / "r.parquet")
        data = read_files(tmp_path / "r.parquet", tmp_path / "i.parquet")
        assert data.interactions["timestamp"].to_list() == [expected]


def test_parquet_columns_without_a_value_are_unknown(tmp_path):
    rows = {
        "user_id": pl.Series(["u"], dtype=pl.Categorical),
        "item_id": pl.Series([7], dtype=pl.UInt8),
        "rating": [None],
    }
    goods = {"item_id": [7], "title": ["Alien"], "year": [None], "genres": [[]], "description": [None]}
    pl.DataFrame(rows).write_parquet(tmp_path / "r.parquet")
    pl.DataFrame(goods).write_parquet(tmp_path / "i.parquet")
    data = read_files(tmp_path / "r.parquet", tmp_path / "i.parquet")
    assert data.interactions.rows() == [("u", "7", None, None)]
    assert data.items.rows() == [("7", "Alien", None, [], "")]


def test_parquet_and_csv_of_the_same_rows_give_the_same_data(tmp_path):
    rows = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"], "rating": [0.1, 1 / 3], "timestamp": [5, None]})
    goods = pl.DataFrame({"item_id": ["x"], "title": ["Ｔwo\u200b words"], "genres": ["A|B|A"]})
    for suffix, write in ((".csv", pl.DataFrame.write_csv), (".parquet", pl.DataFrame.write_parquet)):
        write(rows, tmp_path / f"r{suffix}")
        write(goods, tmp_path / f"i{suffix}")
    csv, parquet = (read_files(tmp_path / f"r{s}", tmp_path / f"i{s}") for s in (".csv", ".parquet"))
    assert csv.interactions.equals(parquet.interactions)
    assert csv.interactions["rating"].to_list() == [0.1, 1 / 3]
    assert csv.items.equals(parquet.items)
    assert csv.items.row(0) == ("x", "Two words", None, ["A", "B"], "")


def test_quoted_and_plain_rows_are_read_alike(tmp_path):
    plain = files.RATINGS_CSV
    quoted = "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in plain.splitlines())
    one = read_movielens(files.movielens_csv(tmp_path / "one", ratings=plain))
    two = read_movielens(files.movielens_csv(tmp_path / "two", ratings=quoted))
    assert two.interactions.equals(one.interactions)


def test_of_repeated_contacts_the_latest_stays_and_the_others_are_counted(tmp_path):
    ratings = (
        "userId,movieId,rating,timestamp\n1,10,1,50\n1,10,2,90\n2,10,3,\n1,10,4,70\n2,10,5,10\n3,10,1,5\n3,10,2,5\n"
    )
    data = read_movielens(files.movielens_csv(tmp_path, ratings=ratings))
    assert data.interactions.rows() == [("1", "10", 2.0, 90), ("2", "10", 5.0, 10), ("3", "10", 2.0, 5)]
    assert data.duplicates == 4


def test_an_item_named_twice_in_the_same_words_is_one_item(tmp_path):
    data = read_movielens(files.movielens_csv(tmp_path, movies=files.MOVIES_CSV + "20,Babylon 5,\n"))
    assert data.items["item_id"].to_list() == ["10", "20", "30"]


def test_fractions_of_a_second_are_cut_off(tmp_path):
    inter = files.INTER.replace("881250949", "881250949.75")
    assert read_recbole(files.recbole(tmp_path, inter=inter)).interactions["timestamp"].to_list()[0] == 881250949


def test_ids_are_text_and_keep_their_zeros(tmp_path):
    files.folder(tmp_path, r__csv="user_id,item_id\n007,01\n7,1\n", i__csv="item_id,title\n01,A\n1,B\n")
    data = read_files(tmp_path / "r.csv", tmp_path / "i.csv")
    assert data.interactions.select("user_id", "item_id").rows() == [("007", "01"), ("7", "1")]


def test_the_source_names_files_without_folders_and_hashes_their_bytes(tmp_path):
    root = files.movielens_csv(tmp_path / "private" / "folder")
    source = read_movielens(root).source
    assert [file.name for file in source.files] == ["ratings.csv", "movies.csv"]
    assert [file.sha256 for file in source.files] == [
        hashlib.sha256((root / name).read_bytes()).hexdigest() for name in ("ratings.csv", "movies.csv")
    ]
    assert "private" not in repr(source)


def test_a_file_name_that_is_not_utf8_is_recorded_in_utf8(tmp_path):
    files.folder(tmp_path, r__csv="user_id,item_id\nu,i\n", i__csv="item_id,title\ni,Alien\n")
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "r") + b"\xff.csv"))
    (tmp_path / "r.csv").rename(odd)
    assert read_files(odd, tmp_path / "i.csv").source.files[0].name == "r?.csv"


def test_a_link_to_a_file_is_a_file(tmp_path):
    root = files.movielens_csv(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("ratings.csv", "movies.csv"):
        (linked / name).symlink_to(root / name)
    assert read_movielens(linked).interactions.height == 3


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("u", "i"), ("u", "i")], "twice"),
        ([("u", "other")], "unknown item_id"),
        ([("other", "i")], "unknown user_id"),
    ],
)
def test_a_data_set_checks_itself(rows, told):
    items = pl.DataFrame([("i", "Alien", None, [], "")], schema=ITEMS, orient="row")
    users = pl.DataFrame({"user_id": ["u"]}, schema=USERS)
    interactions = pl.DataFrame([(*row, None, None) for row in rows], schema=INTERACTIONS, orient="row")
    with pytest.raises(ValueError, match=told):
        Dataset(items, users, interactions, Source("files", ()), 0)
