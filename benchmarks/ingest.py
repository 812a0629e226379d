"""How long it takes to read a data set, to write it, and to find that it is there already.

The data set is synthetic: distinct random pairs in the shape of a MovieLens `ratings.csv`. Reading is held against bare
`polars.read_csv` of the same file, which checks nothing; both run in this process, on the same cores.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from db.store import Store
from pipelines.ingest.job import ingest
from pipelines.ingest.read import read_ml100k, read_movielens

USERS, ITEMS = 6040, 3700


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 rows rather than 1,000,000")
    parser.add_argument("--data", help="not used: the data set is synthetic")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--seed", type=int, default=2020)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), 100_000 if options.quick else 1_000_000, options.seed)
    for name, value in figures.items():
        print(f"{name:45} {value:>12,}" if isinstance(value, int) else f"{name:45} {value:>12.2f}")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def measure(scratch: Path, rows: int, seed: int) -> dict[str, float]:
    """Seconds of each step, on the clock and of the processor (all threads), best of three where nothing is written."""
    data = synthetic(scratch / "data", rows, seed)
    store = Store.open(scratch / "root", create=True)
    dataset = read_movielens(data)
    steps = {
        "ml-100k: read and check": best(read_ml100k),
        "bare polars.read_csv": best(lambda: pl.read_csv(data / "ratings.csv")),
        "read and check": best(lambda: read_movielens(data)),
        "write": seconds(lambda: ingest(store, dataset, now=datetime.now(UTC))),
        "the same again (no change)": seconds(lambda: ingest(store, dataset, now=datetime.now(UTC))),
    }
    store.close()
    figures: dict[str, float] = {"rows": rows}
    for name, (clock, processor) in steps.items():
        figures |= {f"{name}, s": clock, f"{name}, processor s": processor}
    figures["read and check / bare, processor"] = steps["read and check"][1] / steps["bare polars.read_csv"][1]
    return figures


def synthetic(folder: Path, rows: int, seed: int) -> Path:
    """A MovieLens folder of distinct random pairs."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice(USERS * ITEMS, rows, replace=False)
    folder.mkdir()
    ratings = {
        "userId": pairs // ITEMS + 1,
        "movieId": pairs % ITEMS + 1,
        "rating": rng.integers(1, 11, rows) / 2,
        "timestamp": rng.integers(9 * 10**8, 10**9, rows),
    }
    pl.DataFrame(ratings).write_csv(folder / "ratings.csv")
    titles = [f"Film {n}, The ({1950 + n % 70})" for n in range(1, ITEMS + 1)]
    movies = {"movieId": range(1, ITEMS + 1), "title": titles, "genres": ["Action|Drama"] * ITEMS}
    pl.DataFrame(movies).write_csv(folder / "movies.csv")
    return folder


def seconds(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of one call on the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - clock, time.process_time() - processor


def best(action: Callable[[], Any]) -> tuple[float, float]:
    """The fastest of three calls."""
    return min(seconds(action) for _ in range(3))


if __name__ == "__main__":
    main()
