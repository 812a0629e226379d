"""ml-latest, ml-20m, ml-25m and ml-32m as GroupLens ships them: `ratings.csv` and `movies.csv`."""

from pathlib import Path

from pipelines.ingest.formats.files import read_table
from pipelines.ingest.formats.movielens_1m import without_placeholder
from pipelines.ingest.limits import Limits
from pipelines.ingest.rejects import Rejects
from pipelines.ingest.table import Table

_COLUMNS = {"user_id": "userId", "item_id": "movieId"}


def read(folder: Path, limits: Limits, rejects: Rejects) -> tuple[Table, Table]:
    """Interactions and items."""
    interactions = read_table(folder / "ratings.csv", "interactions", _COLUMNS, limits, rejects)
    items = read_table(folder / "movies.csv", "items", _COLUMNS, limits, rejects)
    return interactions, Table(items.file, without_placeholder(items.frame))
