"""The rules every row must keep, whatever file it came from. Bad rows go to the rejects; good ones come back typed."""

from collections.abc import Mapping, Sequence

import polars as pl

from pipelines.ingest.columns import INTERACTIONS, ITEMS
from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.table import LINE, Table
from pipelines.ingest.text import IN_AN_ID, cleaned

Problem = tuple[pl.Expr, str]
"""A condition that must not hold, and how to say it."""


def interactions(table: Table, limits: Limits, rejects: Rejects) -> pl.DataFrame:
    """Rows as `line`, `user_id`, `item_id` (text), `rating` (Float64 or null), `timestamp` (unix seconds, or null)."""
    rules = {
        "user_id": _id("user_id", limits),
        "item_id": _id("item_id", limits),
        "rating": _number("rating", -limits.rating, limits.rating),
        "timestamp": _number("timestamp", 0, limits.last_timestamp, "unix seconds"),
    }
    good = _keep(table.file.name, _complete(table.frame, INTERACTIONS), rules, rejects)
    return good.select(
        LINE,
        "user_id",
        "item_id",
        rating=_float("rating"),
        timestamp=_float("timestamp").floor().cast(pl.Int64),
    )


def items(table: Table, limits: Limits, rejects: Rejects) -> pl.DataFrame:
    """Rows as `line`, `item_id`, `title`, `year` (Int32 or null), `genres` (list, each once), `description`.

    Texts are cleaned. A row that repeats an earlier one is dropped; one that contradicts it is rejected.
    """
    frame = _complete(table.frame, ITEMS).with_columns(
        title=cleaned(pl.col("title").fill_null("")),
        description=cleaned(pl.col("description").fill_null("")),
        genres=_genres(pl.col("genres")),
    )
    year = _number("year", limits.first_year, limits.last_year)
    rules = {
        "item_id": _id("item_id", limits),
        "title": [_empty("title"), _long("title", limits.title_chars)],
        "year": [*year, (_float("year").floor() != _float("year"), "is not a whole number")],
        "genres": [
            (pl.col("genres").list.len() > limits.genres, f"lists more than {limits.genres} genres"),
            (
                pl.col("genres").list.eval(pl.element().str.len_chars() > limits.genre_chars).list.any(),
                f"holds a genre of more than {limits.genre_chars:,} characters",
            ),
        ],
        "description": [_long("description", limits.description_chars)],
    }
    good = _keep(table.file.name, frame, rules, rejects)
    typed = good.select(LINE, "item_id", "title", _float("year").cast(pl.Int32), "genres", "description")
    return _once(table.file.name, typed, rejects)


def users(table: Table, limits: Limits, rejects: Rejects) -> pl.DataFrame:
    """Rows as `line` and `user_id`, each person once."""
    good = _keep(table.file.name, table.frame, {"user_id": _id("user_id", limits)}, rejects)
    return good.select(LINE, "user_id").unique("user_id", keep="first", maintain_order=True)


def known(name: str, rows: pl.DataFrame, catalogue: pl.DataFrame, field: str, rejects: Rejects) -> pl.DataFrame:
    """The rows whose `field` stands in `catalogue`; the others are rejected."""
    strangers = rows.join(catalogue, on=field, how="anti", maintain_order="left")
    if strangers.height == 0:
        return rows
    where = "item file" if field == "item_id" else "user file"
    rejects.add(name, field, strangers.select(LINE, value=field, reason=pl.lit(f"is not in the {where}")))
    return rows.join(catalogue, on=field, how="semi", maintain_order="left")


def _complete(frame: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
    absent = [
        pl.lit(None, dtype=pl.List(pl.String) if field == "genres" else pl.String).alias(field)
        for field in fields
        if field not in frame.columns
    ]
    return frame.with_columns(absent)


def _keep(name: str, frame: pl.DataFrame, rules: Mapping[str, Sequence[Problem]], rejects: Rejects) -> pl.DataFrame:
    """The rows that break no rule."""
    bad = [
        pl.any_horizontal([condition.fill_null(False) for condition, _ in problems]).alias(field)
        for field, problems in rules.items()
    ]
    flags = frame.select(bad)
    broken = [field for field in rules if flags[field].any()]
    for field in broken:
        first = pl.coalesce([pl.when(condition).then(pl.lit(reason)) for condition, reason in rules[field]])
        value = pl.col(field).list.join("|") if frame.schema[field] == pl.List(pl.String) else pl.col(field)
        rejects.add(name, field, frame.filter(flags[field]).select(LINE, value=value, reason=first))
    return frame.filter(~flags.select(pl.any_horizontal(broken)).to_series()) if broken else frame


def _id(field: str, limits: Limits) -> list[Problem]:
    value = pl.col(field)
    return [
        (value.is_null(), "is empty"),
        _empty(field),
        _long(field, limits.id_chars),
        (value.str.contains(IN_AN_ID), "holds a control or invisible character"),
        (value.str.contains(r"^\s|\s$"), "begins or ends with a blank"),
    ]


def _empty(field: str) -> Problem:
    return pl.col(field) == "", "is empty"


def _long(field: str, most: int) -> Problem:
    return pl.col(field).str.len_chars() > most, f"is longer than {most:,} characters"


def _number(field: str, least: float, most: float, unit: str = "") -> list[Problem]:
    value = _float(field)
    span = f"is not between {least:,.0f} and {most:,.0f}" + (f" ({unit})" if unit else "")
    return [
        ((pl.col(field) != "") & value.is_null(), "is not a number"),
        (~value.is_finite(), "is not a finite number"),
        (~value.is_between(least, most), span),
    ]


def _float(field: str) -> pl.Expr:
    return pl.col(field).cast(pl.Float64, strict=False)


def _genres(genres: pl.Expr) -> pl.Expr:
    clean = genres.list.eval(cleaned(pl.element())).list.drop_nulls()
    named = clean.list.eval(pl.element().filter(pl.element() != ""))
    return named.list.unique(maintain_order=True).fill_null(pl.lit([], dtype=pl.List(pl.String)))


def _once(name: str, frame: pl.DataFrame, rejects: Rejects) -> pl.DataFrame:
    first = frame.unique("item_id", keep="first", maintain_order=True)
    if first.height == frame.height:
        return frame
    facts = pl.struct("title", "year", pl.col("genres").list.join("\0"), "description")
    both = frame.select(LINE, "item_id", facts.alias("facts")).join(
        first.select("item_id", facts.alias("expected")), on="item_id", maintain_order="left"
    )
    other = both.filter(pl.col("facts") != pl.col("expected"))
    if other.height:
        reason = pl.lit("comes again with another title, year, genres or description")
        rejects.add(name, "item_id", other.select(LINE, value="item_id", reason=reason))
    return first
