"""Bad rows: collected over all files of a data set, listed in one reject file, and told in one line."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from db.errors import LetheError
from db.files import write_atomic
from pipelines.ingest.limits import Limits
from pipelines.ingest.text import reason_of, shown

_WITHHELD = ("row", "user_id")


class Reject(NamedTuple):
    """One thing wrong with one row."""

    file: str
    line: int
    field: str
    value: str
    reason: str


class RejectedRowsError(LetheError):
    """A data set was refused for its rows. `path` is the reject file, if one was asked for: it holds personal data."""

    def __init__(self, message: str, path: Path | None, rows: int) -> None:
        super().__init__(message)
        self.path = path
        self.rows = rows


class Rejects:
    """Collects bad rows while the files of one data set are read."""

    def __init__(self, limits: Limits, path: Path | None = None) -> None:
        self._limits = limits
        self._path = path
        self._found: list[Reject] = []
        self._bad: dict[str, set[int]] = {}

    def add(self, file: str, field: str, rows: pl.DataFrame) -> None:
        """Take rows with the columns `line`, `value` and `reason`."""
        lines = rows["line"].to_list()
        self._bad.setdefault(file, set()).update(lines)
        room = max(0, self._limits.listed_rejects - len(self._found))
        told = zip(lines[:room], rows["value"].head(room), rows["reason"].head(room), strict=True)
        self._found += [Reject(file, line, field, str(value or "")[:200], reason) for line, value, reason in told]

    @property
    def rows(self) -> int:
        """How many rows are bad so far."""
        return sum(len(lines) for lines in self._bad.values())

    def raise_if_any(self) -> None:
        """Write the reject file and raise `RejectedRowsError` when a row was bad."""
        if not self.rows:
            return
        found = sorted(self._found, key=lambda reject: (reject.file, reject.line))
        listed = "ask for a reject file to see them all"
        if self._path is not None:
            write_rejects(self._path, found)
            listed = f"they are listed in {shown(self._path)}"
        first = (
            f"{shown(found[0].file)} line {found[0].line}: {found[0].field} {shown(found[0].value)} {found[0].reason}"
        )
        count = "1 row is" if self.rows == 1 else f"{self.rows:,} rows are"
        raise RejectedRowsError(f"{count} bad and nothing was taken, first {first}; {listed}", self._path, self.rows)


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """JSON lines, whole or not at all, readable by the owner alone. Whole rows and people's ids are left out."""
    told = ({**reject._asdict(), "value": None if reject.field in _WITHHELD else reject.value} for reject in rejects)
    lines = "".join(json.dumps(reject, ensure_ascii=False) + "\n" for reject in told)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda partial: _write_for_the_owner(partial, lines))
    except (OSError, ValueError) as error:
        why = f"{reason_of(error)}; choose another place"
        raise LetheError(f"cannot write the reject file {shown(path)}: {why}") from error


def _write_for_the_owner(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
