"""`lethe ingest`: read a data set whole, or refuse it whole."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.forget import read_ids
from pipelines.cli.options import ROOT, Json, Root, open_store
from pipelines.cli.output import emit, progress, table

if TYPE_CHECKING:
    from pipelines.ingest.dataset import Dataset
    from pipelines.ingest.job import IngestSummary

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Readmit = Annotated[
    Path | None, typer.Option("--readmit", help="File with ids of erased people who may come back, one a line.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the random split of new rows.")]
Folder = Annotated[Path, typer.Argument(help="The data set's folder.")]


@app.callback()
def about() -> None:
    """Read people, items and interactions into the store; the same data twice changes nothing."""


@app.command("ml-100k")
def ml_100k(*, readmit: Readmit = None, seed: Seed = 2020, root: Root = ROOT, as_json: Json = False) -> None:
    """MovieLens 100K, as the installed RecBole package carries it.

    \b
    Example:
      lethe ingest ml-100k
    """
    from pipelines.ingest.read import read_ml100k

    _run(lambda rejects: read_ml100k(rejects=rejects), readmit=readmit, seed=seed, root=root, as_json=as_json)


@app.command()
def movielens(
    folder: Folder, *, readmit: Readmit = None, seed: Seed = 2020, root: Root = ROOT, as_json: Json = False
) -> None:
    """A MovieLens folder as GroupLens ships it: u.data, ratings.dat or ratings.csv with its items.

    \b
    Example:
      lethe ingest movielens ~/ml-1m
    """
    from pipelines.ingest.read import read_movielens

    _run(
        lambda rejects: read_movielens(folder, rejects=rejects), readmit=readmit, seed=seed, root=root, as_json=as_json
    )


@app.command()
def recbole(
    folder: Folder, *, readmit: Readmit = None, seed: Seed = 2020, root: Root = ROOT, as_json: Json = False
) -> None:
    """A folder of RecBole atomic files (.inter, .item, perhaps .user).

    \b
    Example:
      lethe ingest recbole dataset/ml-100k
    """
    from pipelines.ingest.read import read_recbole

    _run(lambda rejects: read_recbole(folder, rejects=rejects), readmit=readmit, seed=seed, root=root, as_json=as_json)


@app.command()
def netflix(
    folder: Folder, *, readmit: Readmit = None, seed: Seed = 2020, root: Root = ROOT, as_json: Json = False
) -> None:
    """A folder of the Netflix Prize: combined_data_*.txt or mv_*.txt with movie_titles; no genres.

    \b
    Example:
      lethe ingest netflix ~/netflix-prize
    """
    from pipelines.ingest.read import read_netflix

    _run(lambda rejects: read_netflix(folder, rejects=rejects), readmit=readmit, seed=seed, root=root, as_json=as_json)


@app.command()
def files(
    *,
    interactions: Annotated[
        Path, typer.Option(help="CSV, TSV or Parquet: user_id, item_id, perhaps rating, timestamp.")
    ],
    items: Annotated[
        Path, typer.Option(help="CSV, TSV or Parquet: item_id, title, perhaps year, genres, description.")
    ],
    users: Annotated[Path | None, typer.Option(help="CSV, TSV or Parquet: user_id.")] = None,
    mapping: Annotated[list[str] | None, typer.Option("--map", help="field=column; may be repeated.")] = None,
    readmit: Readmit = None,
    seed: Seed = 2020,
    root: Root = ROOT,
    as_json: Json = False,
) -> None:
    """Your own tables, with their columns named by --map where they are called otherwise.

    \b
    Example:
      lethe ingest files --interactions clicks.parquet --items goods.csv --map item_id=sku
    """
    from pipelines.ingest.columns import parse_map
    from pipelines.ingest.read import read_files

    named = parse_map(mapping or [])
    _run(
        lambda rejects: read_files(interactions, items, users, named, rejects=rejects),
        readmit=readmit,
        seed=seed,
        root=root,
        as_json=as_json,
    )


def _run(read: "Callable[[Path], Dataset]", *, readmit: Path | None, seed: int, root: Path, as_json: bool) -> None:
    from pipelines.ingest.job import ingest
    from pipelines.ingest.reject_file import next_reject_file, register_rejects
    from pipelines.ingest.rejects import RejectedRowsError
    from recsys.splits import SplitRecipe

    back = frozenset(read_ids(readmit)) if readmit else frozenset()
    store = open_store(root, create=True)
    try:
        dataset = read(next_reject_file(store))
    except RejectedRowsError as error:
        if error.path is not None:
            register_rejects(store, error.path)
        raise
    with progress("ingest") as bar:
        recipe = SplitRecipe("random", seed=seed)
        found = ingest(store, dataset, now=datetime.now(UTC), readmit=back, split=recipe, progress=bar)
    emit(found, as_json=as_json, text=lambda: _text(found))


def _text(found: "IngestSummary") -> str:
    rows = [
        ("interactions", found.added, found.updated, found.unchanged, found.suppressed),
        ("items", found.items_added, found.items_updated, found.items_unchanged, 0),
        ("people", found.users_added, 0, "", found.suppressed_users),
    ]
    head = "" if found.changed else "nothing new; the store is as it was\n"
    return head + table(("what", "added", "updated", "unchanged", "suppressed"), rows)
