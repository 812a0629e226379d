"""The files of a batch: one Parquet part a chunk, joined at publish. Each is written whole or not at all."""

from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from db.files import write_atomic
from db.jobs import StoredList
from db.records import ItemId, UserId

SCHEMA = pl.Schema(
    {
        "user": pl.String(),
        "rank": pl.Int32(),
        "item": pl.String(),
        "score": pl.Float32(),
        "origin": pl.String(),
        "source": pl.String(),
    }
)
"""`origin` says who ordered the list (fused, model, backbone, fallback), `source` which retrieval brought the item."""


def part(folder: Path, number: int) -> Path:
    """Where a chunk's lists go."""
    return folder / f"part-{number:05d}.parquet"


def write_part(path: Path, lists: Sequence[StoredList], sources: Sequence[Sequence[str]]) -> None:
    """Write one chunk's lists."""
    rows = [
        (s.user, rank, item, score, origin, source)
        for s, brought in zip(lists, sources, strict=True)
        for rank, (item, score, origin, source) in enumerate(
            zip(s.items, s.scores, s.origins, brought, strict=True), start=1
        )
    ]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, frame.write_parquet)


def joined(paths: Sequence[Path]) -> pl.DataFrame:
    """All parts in order."""
    frames = [pl.read_parquet(path) for path in paths]
    return pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)


def without(lists: pl.DataFrame, people: Collection[UserId]) -> pl.DataFrame:
    """The lists of everybody else."""
    return lists.filter(~pl.col("user").is_in(sorted(people))) if people else lists


def write_whole(path: Path, frame: pl.DataFrame) -> None:
    """Write the joined lists to `path`, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, frame.write_parquet)


def stored_lists(frame: pl.DataFrame) -> list[StoredList]:
    """The lists of a joined frame, one for each person."""
    found = []
    for (user,), rows in frame.group_by("user", maintain_order=True):
        columns = rows.select("item", "score", "origin").to_dict(as_series=False)
        items = tuple(ItemId(item) for item in columns["item"])
        found.append(StoredList(UserId(str(user)), items, tuple(columns["score"]), tuple(columns["origin"])))
    return found
