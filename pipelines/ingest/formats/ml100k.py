"""The ml-100k data set as the installed RecBole package carries it."""

from importlib.util import find_spec
from pathlib import Path

from db.errors import LetheError


def folder() -> Path:
    """Where RecBole keeps ml-100k. RecBole itself is not imported. Raises LetheError when it is not installed."""
    spec = find_spec("recbole")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = Path(places[0], "dataset_example", "ml-100k") if places else None
    if found is None or not found.is_dir():
        raise LetheError("ml-100k is not installed: install recbole, or give a folder to `lethe ingest movielens`")
    return found
