"""Small data sets on disk, for the tests of ingest."""

from pathlib import Path

RATINGS_CSV = "userId,movieId,rating,timestamp\n1,10,4.0,964982703\n1,20,3.5,964981247\n2,10,5.0,964982224\n"
MOVIES_CSV = (
    "movieId,title,genres\n"
    '10,"Matrix, The (1999)",Action|Sci-Fi\n'
    "20,Babylon 5,(no genres listed)\n"
    '30,"""Great Performances"" Cats (1998)",Musical\n'
)
INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti1\t4\t881250949\nu2\ti2\t3\t891717742.0\n"
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "i1\tToy Story\t1995\tAnimation Children's\n"
    "i2\tButcher Boy, The\tV\tunknown\n"
)
USER = "user_id:token\tage:token\tgender:token\nu1\t24\tM\nu2\t53\tF\nu3\t23\tM\n"
NO_FLAGS = "|".join("0" * 19)
FLAGS = "|".join("0001110000000000000")
U_DATA = "196\t242\t3\t881250949\n186\t302\t3\t891717742\n"
U_ITEM = (
    f"242|Kolya (1996)|24-Jan-1997||http://imdb/1|{FLAGS}\n"
    f"302|Misérables, Les (1995)|01-Jan-1995||http://imdb/2|{NO_FLAGS}\n"
)


def folder(root: Path, **files: str | bytes) -> Path:
    """A folder of files: a name is given with `__` for its dot."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / name.replace("__", ".")).write_bytes(data)
    return root


def movielens_csv(root: Path, ratings: str | bytes = RATINGS_CSV, movies: str | bytes = MOVIES_CSV) -> Path:
    return folder(root, ratings__csv=ratings, movies__csv=movies)


def recbole(root: Path, inter: str | bytes = INTER, item: str | bytes = ITEM, user: str | bytes = USER) -> Path:
    return folder(root, d__inter=inter, d__item=item, d__user=user)


def ml100k(root: Path, data: str | bytes = U_DATA, item: str | bytes | None = None) -> Path:
    return folder(root, u__data=data, u__item=U_ITEM.encode("latin-1") if item is None else item)


COMBINED_1 = "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n2059652,4,2005-09-05\n"
COMBINED_2 = "4500:\r\n822109,2,1999-12-31\r\n2059652,1,2005-09-05\r\n"
TITLES = "1,2003,Dinosaur Planet\n2,2004,Isle of Man TT: Crash, Burn, Repeat\n4500,NULL,Pokémon\n"


def netflix(root: Path, first: str = COMBINED_1, second: str | None = COMBINED_2, titles: str = TITLES) -> Path:
    """Two files of ratings (or one) and the titles, in latin-1."""
    made = folder(root, combined_data_1__txt=first, movie_titles__csv=titles.encode("latin-1"))
    return made if second is None else folder(root, combined_data_2__txt=second)
