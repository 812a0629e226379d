"""Text that came from outside: cleaned before it is kept, escaped before it is shown."""

from pathlib import PurePath

import polars as pl

_INVISIBLE = r"[\p{Cc}\p{Cf}\p{Co}\p{Default_Ignorable_Code_Point}&&[^\s]]"
IN_AN_ID = r"[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]"
"""Characters that no id may hold: control, zero-width, private-use and line-separating ones."""

_SHOWN = 60


def cleaned(text: pl.Expr) -> pl.Expr:
    """The text in NFKC without control and zero-width characters, every run of blanks one space, none at the ends.

    Cleaning what is clean changes nothing.
    """
    visible = text.str.replace_all(_INVISIBLE, "").str.normalize("NFKC").str.replace_all(_INVISIBLE, "")
    return visible.str.replace_all(r"\s+", " ").str.strip_chars(" ")


def shown(value: object) -> str:
    """A value as an error message quotes it: on one line, escaped, its first sixty characters; of a path, the last."""
    text = str(value)
    if len(text) > _SHOWN:
        text = "…" + text[-_SHOWN:] if isinstance(value, PurePath) else text[:_SHOWN] + "…"
    return repr(text)


def reason_of(error: OSError | ValueError) -> str:
    """Why a path could not be used, in a few words and on one line."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(told.split())
