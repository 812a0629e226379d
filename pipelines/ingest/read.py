"""The readers: each yields one checked `Dataset`, or raises one LetheError and leaves nothing behind but a reject file.

`rejects` is where the reject file goes when rows are bad. It holds personal data: whoever chooses the place registers
it for erasure. Without it the error still names the first bad row.
"""

from pathlib import Path

from db.errors import LetheError
from pipelines.ingest.columns import Mapped
from pipelines.ingest.dataset import Dataset, Raw, checked
from pipelines.ingest.formats import ml100k, movielens, netflix, recbole
from pipelines.ingest.formats.files import read_table
from pipelines.ingest.limits import DEFAULT_LIMITS, Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.text import shown


def read_ml100k(*, limits: Limits = DEFAULT_LIMITS, rejects: Path | None = None) -> Dataset:
    """ml-100k from the installed RecBole package. Of the people only ids: demographic columns are never kept."""
    found = Rejects(limits, rejects)
    return checked(recbole.read(ml100k.folder(), limits, found, kind="ml-100k"), limits, found)


def read_recbole(folder: Path, *, limits: Limits = DEFAULT_LIMITS, rejects: Path | None = None) -> Dataset:
    """A folder of RecBole atomic files: `.inter`, `.item` and perhaps `.user`."""
    found = Rejects(limits, rejects)
    return checked(recbole.read(folder, limits, found), limits, found)


def read_movielens(folder: Path, *, limits: Limits = DEFAULT_LIMITS, rejects: Path | None = None) -> Dataset:
    """A MovieLens folder as GroupLens ships it: ml-100k, ml-1m, ml-10m, or the CSV data sets since ml-20m."""
    found = Rejects(limits, rejects)
    return checked(movielens.read(folder, limits, found), limits, found)


def read_netflix(folder: Path, *, limits: Limits = DEFAULT_LIMITS, rejects: Path | None = None) -> Dataset:
    """A folder of the Netflix Prize: `combined_data_*.txt` or `mv_*.txt`, and `movie_titles.csv` or `.txt`."""
    found = Rejects(limits, rejects)
    return checked(netflix.read(folder, limits, found), limits, found)


def read_files(
    interactions: Path,
    items: Path,
    users: Path | None = None,
    mapping: Mapped | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    rejects: Path | None = None,
) -> Dataset:
    """CSV, TSV or Parquet files with a header; `mapping` (see `parse_map`) names the columns called otherwise."""
    wanted = {"interactions": interactions, "items": items, **({"users": users} if users is not None else {})}
    unused = next((field for field in mapping or () if field.partition(".")[0] == "users" and users is None), None)
    if unused is not None:
        raise LetheError(f"--map {shown(unused)} has no file to map: give --users, or leave it out")
    found = Rejects(limits, rejects)
    tables = {kind: read_table(path, kind, mapping or {}, limits, found) for kind, path in wanted.items()}
    raw = Raw("files", tables["interactions"], tables["items"], tables.get("users"))
    return checked(raw, limits, found)
