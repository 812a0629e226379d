"""A data set that passed every check, in memory: what any reader yields and `ingest` writes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import polars as pl

from db.errors import LetheError
from pipelines.ingest import validate
from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.source import SourceFile
from pipelines.ingest.table import LINE, Table

MOST_FILES = 64
"""Files that a source names one by one."""

ITEMS = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "year": pl.Int32(),
        "genres": pl.List(pl.String()),
        "description": pl.String(),
    }
)
USERS = pl.Schema({"user_id": pl.String()})
INTERACTIONS = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "rating": pl.Float64(), "timestamp": pl.Int64()}
)


@dataclass(frozen=True, slots=True)
class Raw:
    """The tables of one data set as a format found them: text columns under Lethe's names, nothing checked yet."""

    kind: str
    interactions: Table
    items: Table
    users: Table | None = None
    more: Iterable[Table] = ()
    """Interactions in further files, read once, one after the other."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set came from: its kind, and its files by name (never by folder) with their sha256."""

    kind: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Items, people and interactions with the schemas above; ids are unique and known, each pair occurs once."""

    items: pl.DataFrame
    users: pl.DataFrame
    interactions: pl.DataFrame
    source: Source
    duplicates: int
    """Interactions left out because the same person met the same item later on, or again at the same moment."""

    def __post_init__(self) -> None:
        for name, frame, schema in (
            ("items", self.items, ITEMS),
            ("users", self.users, USERS),
            ("interactions", self.interactions, INTERACTIONS),
        ):
            if frame.schema != schema:
                raise ValueError(f"{name} has the schema {frame.schema}, not {schema}")
        if self.items["item_id"].n_unique() < self.items.height or self.users["user_id"].n_unique() < self.users.height:
            raise ValueError("an id comes twice")
        if _pairs_repeat(self.interactions):
            raise ValueError("a person meets an item twice")
        for field, frame in (("item_id", self.items), ("user_id", self.users)):
            if self.interactions.join(frame, on=field, how="anti").height:
                raise ValueError(f"an interaction has an unknown {field}")


def checked(raw: Raw, limits: Limits, rejects: Rejects) -> Dataset:
    """The data set, when every row of it is good. Raises `RejectedRowsError` otherwise: the whole or nothing.

    Where a user file exists, people it does not name are rejected; of several contacts of one person with one item the
    latest stays (an unknown time counts as earliest, and of equals the last in the file).
    """
    items = validate.items(raw.items, limits, rejects)
    people = validate.users(raw.users, limits, rejects) if raw.users is not None else None
    catalogue_is_whole = rejects.rows == 0  # else a bad item row would condemn every interaction with the item
    strangers = Known(items, people) if catalogue_is_whole else Known(None, None)
    parts: list[pl.DataFrame] = []
    read: list[SourceFile] = []
    for table in chain((raw.interactions,), raw.more):
        parts.append(strangers.rejected(table.file.name, validate.interactions(table, limits, rejects), rejects))
        read.append(table.file)
        _within(limits, sum(part.height for part in parts))
    rejects.raise_if_any()
    rows = _joined(parts)
    files = [*_few(read), raw.items.file, *([raw.users.file] if raw.users is not None else [])]
    people = rows.select("user_id").unique(maintain_order=True) if people is None else people
    latest = _latest(rows)
    return Dataset(
        items=items.select(ITEMS.names()),
        users=people.select("user_id"),
        interactions=latest.select(INTERACTIONS.names()),
        source=Source(raw.kind, tuple(files)),
        duplicates=rows.height - latest.height,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """The items and people that interactions may name; None: any."""

    items: pl.DataFrame | None
    people: pl.DataFrame | None

    def rejected(self, name: str, rows: pl.DataFrame, rejects: Rejects) -> pl.DataFrame:
        """The rows of the file `name` that name what is known; the others are rejected."""
        if self.items is not None:
            rows = validate.known(name, rows, self.items, "item_id", rejects)
        return rows if self.people is None else validate.known(name, rows, self.people, "user_id", rejects)


def _within(limits: Limits, rows: int) -> None:
    if rows > limits.rows:
        raise LetheError(f"the files hold more than {limits.rows:,} interactions together: raise the cap")


def _joined(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """All rows in the order of reading; where several files were read their lines are counted through."""
    if len(parts) == 1:
        return parts[0]
    return pl.concat(parts).with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias(LINE))


def _few(files: list[SourceFile]) -> list[SourceFile]:
    """The files, or one that stands for very many: its digest is over theirs, in order."""
    if len(files) <= MOST_FILES:
        return files
    digest = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    return [SourceFile(f"{files[0].name} and {len(files) - 1:,} more", sum(file.size for file in files), digest)]


def _latest(rows: pl.DataFrame) -> pl.DataFrame:
    if not _pairs_repeat(rows):
        return rows
    in_time = rows.sort("timestamp", LINE, nulls_last=False)
    return in_time.unique(["user_id", "item_id"], keep="last", maintain_order=True).sort(LINE)


def _pairs_repeat(rows: pl.DataFrame) -> bool:
    pairs = rows.select("user_id", "item_id")
    if pairs.hash_rows().n_unique() == pairs.height:  # four times cheaper than looking at the pairs themselves
        return False
    return bool(pairs.is_duplicated().any())
