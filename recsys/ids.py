"""The line between outside ids and matrix rows, and its file `ids.parquet`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from db.errors import LetheError
from db.records import ItemId
from recsys.candidates import IntArray

FILE = "ids.parquet"


@dataclass(frozen=True, slots=True)
class ItemRows:
    """A catalogue in row order: `ids[row]` is the outside id of a row."""

    ids: tuple[ItemId, ...]
    _row: dict[ItemId, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_row", {item: row for row, item in enumerate(self.ids)})
        if len(self._row) != len(self.ids):
            raise LetheError(f"the catalogue names an item twice ({len(self.ids)} rows, {len(self._row)} distinct ids)")

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[ItemId]) -> IntArray:
        """Rows of the given ids, in their order; ids outside the catalogue are left out."""
        return np.array([self._row[i] for i in ids if i in self._row], dtype=np.int64)

    def at(self, rows: IntArray) -> tuple[ItemId, ...]:
        """Outside ids of the given rows, in their order."""
        return tuple(self.ids[row] for row in rows.tolist())

    def save(self, folder: Path) -> None:
        """Write the ids in row order to `ids.parquet` in an existing folder."""
        pl.DataFrame({"item": list(self.ids)}, schema={"item": pl.String}).write_parquet(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "ItemRows":
        """Read what `save` wrote."""
        path = folder / FILE
        if not path.is_file():
            raise LetheError(f"{path} is missing: the backbone has to be trained again")
        return cls(tuple(ItemId(item) for item in pl.read_parquet(path)["item"].to_list()))
