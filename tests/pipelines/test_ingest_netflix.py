"""The Netflix Prize's files on a hand-made sample, and what is refused of them."""

from datetime import UTC, datetime

import pytest

from db.errors import LetheError
from db.store import Store
from pipelines.ingest.dataset import MOST_FILES
from pipelines.ingest.job import ingest
from pipelines.ingest.limits import Limits
from pipelines.ingest.read import read_netflix
from pipelines.ingest.rejects import RejectedRowsError
from tests.pipelines import ingest_files as files

RATINGS = [
    ("1488844", "1", 3.0, 1125964800),
    ("822109", "1", 5.0, 1115942400),
    ("2059652", "2", 4.0, 1125878400),
    ("822109", "4500", 2.0, 946598400),
    ("2059652", "4500", 1.0, 1125878400),
]


def seconds(day):
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def test_combined_files_are_read_in_order_and_titles_keep_their_commas(tmp_path):
    data = read_netflix(files.netflix(tmp_path))
    assert data.interactions.rows() == RATINGS
    assert RATINGS[3][3] == seconds("1999-12-31")
    assert data.items.rows() == [
        ("1", "Dinosaur Planet", 2003, [], ""),
        ("2", "Isle of Man TT: Crash, Burn, Repeat", 2004, [], ""),
        ("4500", "Pokémon", None, [], ""),
    ]
    assert data.users["user_id"].to_list() == ["1488844", "822109", "2059652"]
    assert data.source.kind == "netflix"
    assert [file.name for file in data.source.files] == [
        "combined_data_1.txt",
        "combined_data_2.txt",
        "movie_titles.csv",
    ]


def test_one_file_a_movie_gives_the_same_rows(tmp_path):
    titles = files.TITLES.encode("latin-1")
    files.folder(tmp_path, movie_titles__txt=titles)
    files.folder(
        tmp_path / "training_set",
        mv_0000001__txt="1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n",
        mv_0000002__txt="2:\n2059652,4,2005-09-05\n",
        mv_0004500__txt="4500:\n822109,2,1999-12-31\n2059652,1,2005-09-05",
    )
    assert read_netflix(tmp_path).interactions.rows() == RATINGS


def test_files_come_in_the_order_of_their_numbers_and_the_later_row_of_a_day_stays(tmp_path):
    many = {f"combined_data_{n}__txt": f"1:\n7,{n % 5},2005-01-01\n" for n in (10, 9, 2)}
    data = read_netflix(files.folder(tmp_path, movie_titles__csv="1,2000,A\n", **many))
    assert data.interactions.rows() == [("7", "1", 0.0, seconds("2005-01-01"))], "that of file 10"
    assert data.duplicates == 2


def test_very_many_files_are_one_source(tmp_path):
    number = MOST_FILES + 1
    many = {f"mv_{n:07d}__txt": f"{n}:\n5,3,2005-01-01\n" for n in range(1, number + 1)}
    titles = "".join(f"{n},2000,Film {n}\n" for n in range(1, number + 1))
    data = read_netflix(files.folder(tmp_path, movie_titles__txt=titles, **many))
    assert data.interactions.height == number
    assert [file.name for file in data.source.files] == [f"mv_0000001.txt and {MOST_FILES} more", "movie_titles.txt"]


def test_it_enters_the_store_and_again_changes_nothing(tmp_path):
    store = Store.open(tmp_path / "root", create=True)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    data = read_netflix(files.netflix(tmp_path / "data"))
    first, again = ingest(store, data, now=now), ingest(store, data, now=now)
    store.close()
    assert (first.added, first.items_added, first.users_added) == (5, 3, 3)
    assert not again.changed


ROWS = {
    "rating before a heading": ({"first": "5,3,2005-01-01\n1:\n"}, "combined_data_1.txt' line 1: row '5,3,2005-01-01'"),
    "two fields": ({"second": "1:\n5,3\n"}, "combined_data_2.txt' line 2: row '5,3' is neither MOVIEID: nor"),
    "four fields": ({"second": "1:\n5,3,2005-01-01,9\n"}, "is neither MOVIEID: nor user,rating,date"),
    "blank line": ({"second": "1:\n\n5,3,2005-01-01\n"}, "line 2: row '' is neither MOVIEID: nor"),
    "heading that is no number": ({"first": "1:\n5,3,2005-01-01\nx2:\n"}, "line 3: row 'x2:' is neither"),
    "no such day": ({"first": "1:\n5,3,2005-02-30\n"}, "line 2: date '2005-02-30' is no day written YYYY-MM-DD"),
    "day written otherwise": ({"first": "1:\n5,3,06/09/2005\n"}, "date '06/09/2005' is no day"),
    "day before 1970": ({"first": "1:\n5,3,1969-12-31\n"}, "timestamp '-86400' is not between 0 and"),
    "word for a rating": ({"second": "1:\n5,good,2005-01-01\n"}, "combined_data_2.txt' line 2: rating 'good' is not"),
    "no person": ({"second": "1:\n,3,2005-01-01\n"}, "line 2: user_id '' is empty"),
    "unknown movie": (
        {"second": "9:\n5,3,2005-01-01\n"},
        "combined_data_2.txt' line 2: item_id '9' is not in the item",
    ),
    "title without a year": ({"titles": "1,Dinosaur Planet\n"}, "movie_titles.csv' line 1: row '1,Dinosaur Planet' is"),
    "word for a year": ({"titles": "1,soon,Dinosaur Planet\n"}, "line 1: year 'soon' is not a number"),
    "no title": ({"titles": "1,2003,\n"}, "line 1: title '' is empty"),
    "movie twice": ({"titles": files.TITLES + "2,2005,Other\n"}, "line 4: item_id '2' comes again with another title"),
}


@pytest.mark.parametrize(("given", "told"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_refuses_the_whole_and_is_named_with_its_file_and_line(tmp_path, given, told):
    with pytest.raises(RejectedRowsError) as caught:
        read_netflix(files.netflix(tmp_path, **given))
    message = str(caught.value)
    assert told in message
    assert message.isprintable()
    assert len(message) < 500


def test_a_folder_must_hold_ratings_once_and_titles_once(tmp_path):
    with pytest.raises(LetheError, match=r"must hold one of movie_titles.csv and movie_titles.txt, and holds neither"):
        read_netflix(files.folder(tmp_path / "a", combined_data_1__txt=files.COMBINED_1))
    with pytest.raises(LetheError, match=r"combined_data_\*.txt or mv_\*.txt, and holds neither"):
        read_netflix(files.folder(tmp_path / "b", movie_titles__csv=files.TITLES))
    both = files.folder(files.netflix(tmp_path / "c"), mv_0000001__txt="1:\n5,3,2005-01-01\n")
    with pytest.raises(LetheError, match=r"holds combined_data_\*.txt and mv_\*.txt"):
        read_netflix(both)
    with pytest.raises(LetheError, match="cannot list the folder"):
        read_netflix(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b1:\n5,3,2005-01-01\n", "is gzip-compressed: unpack it first"),
        (b"1:\n5,3,2005-01-01\n\0", "line 3 holds a NUL byte"),
        (b"1:\n5,\xff,2005-01-01\n", r"line 2 is not UTF-8 \(byte 0xff\)"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, told):
    with pytest.raises(LetheError, match=told):
        read_netflix(files.netflix(tmp_path, second=content))


def test_the_caps_hold_for_one_file_and_for_all_together(tmp_path):
    folder = files.netflix(tmp_path)
    assert read_netflix(folder, limits=Limits(rows=5)).interactions.height == 5
    with pytest.raises(LetheError, match="more than 4 interactions together: raise the cap"):
        read_netflix(folder, limits=Limits(rows=4))
    with pytest.raises(LetheError, match="is larger"):
        read_netflix(folder, limits=Limits(file_bytes=20))
