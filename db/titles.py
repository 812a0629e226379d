"""Film titles as MovieLens and RecBole write them, "Matrix, The (1999)", in the form people say: "The Matrix"."""

import re
from typing import NamedTuple

_YEAR = re.compile(
    r"""\s* \( \s* (?P<year>\d{4}) (?: \s*[-\u2010-\u2015]\s* (?:\d{4})? )? \s* \)   # (1994), (1994-1998), (2016-)
        (?: \s* \( (?:V|TV|VG) \) )? \s* $                                          # "(V)": made for video""",
    re.VERBOSE,
)
_ARTICLES = (
    "The|An|A|La|Le|Les|L['\u2019]|Un|Une|Il|Lo|Gli|I|Una|Uno|El|Los|Las|Der|Die|Das|Ein|Eine|Den|Det|Het|De|O|Os|As"
)
_TRAILING_ARTICLE = re.compile(
    rf"(?P<start>^|\((?:a\.k\.a\.\s*)?)(?P<rest>[^()]+?),\s*(?P<article>{_ARTICLES})(?=\s*(?:[()]|$))"
)


class Title(NamedTuple):
    """A title without its year, and the year where one was written."""

    name: str
    year: int | None


def split_title(text: str) -> Title:
    """Take the year off the end and put trailing articles back in front, within parentheses too.

    Of a range of years the first counts. A name that is only a year in parentheses is kept as it is.

    >>> split_title("Matrix, The (1999)")
    Title(name='The Matrix', year=1999)
    >>> split_title("City of Lost Children, The (Cité des enfants perdus, La) (1995)")
    Title(name='The City of Lost Children (La Cité des enfants perdus)', year=1995)
    >>> split_title("Babylon 5")
    Title(name='Babylon 5', year=None)
    """
    found = _YEAR.search(text)
    if found is None or not text[: found.start()].strip():
        return Title(articles_first(text), None)
    return Title(articles_first(text[: found.start()]), int(found["year"]))


def articles_first(name: str) -> str:
    """A title without its year, as people say it.

    >>> articles_first("Butcher Boy, The")
    'The Butcher Boy'
    """
    return _TRAILING_ARTICLE.sub(_article_first, name.strip())


def _article_first(found: re.Match[str]) -> str:
    article = found["article"]
    joint = "" if article[-1] in "'\u2019" else " "
    return f"{found['start']}{article}{joint}{found['rest']}"
