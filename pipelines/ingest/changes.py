"""What an ingest would change: the interactions of a data set held against those in the store."""

from dataclasses import dataclass

import polars as pl

from db import catalogue
from db.store import Unit
from db.suppression import Suppression
from pipelines.ingest.admission import refused_rows

_STORED = {
    "user": pl.Int64,
    "item": pl.Int64,
    "stored_rating": pl.Float64,
    "stored_at": pl.Int64,
    "hidden_by": pl.String,
}


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Rows to write, with surrogate keys `user` and `item`; and how many others there were."""

    added: pl.DataFrame
    updated: pl.DataFrame
    unchanged: int
    superseded: int
    """Rows whose person met the item again later, according to the store: the store's row stays."""
    suppressed: int


def compare(unit: Unit, rows: pl.DataFrame, held: Suppression) -> Changes:
    """Sort interactions (ids and keys of person and item, `rating`, `timestamp`) into new, changed and known ones."""
    stored = pl.DataFrame(catalogue.stored_interactions(unit), schema=_STORED, orient="row")
    both = rows.join(stored.with_columns(stored=pl.lit(True)), on=["user", "item"], how="left", maintain_order="left")
    new = both.filter(pl.col("stored").is_null())
    refused = refused_rows(held, new)
    hidden = pl.col("hidden_by").is_not_null()
    known = both.filter(pl.col("stored"), ~hidden)
    same = pl.col("rating").eq_missing(pl.col("stored_rating")) & pl.col("timestamp").eq_missing(pl.col("stored_at"))
    earlier = pl.col("timestamp").fill_null(-1) < pl.col("stored_at").fill_null(-1)
    return Changes(
        added=new.filter(~refused).sort("user", "item"),  # in key order the database writes faster
        updated=known.filter(~same, ~earlier),
        unchanged=known.filter(same).height,
        superseded=known.filter(~same, earlier).height,
        suppressed=int(refused.sum()) + both.filter(hidden).height,
    )
