"""How long `lethe forget user` takes, as a whole process, while the store grows; and `lethe --help`.

Processor seconds (user and system) stand beside the clock: on a machine that does other work they are the figure.

Each store is synthetic and differs from the next by other people's rows alone: everybody, the forgotten included, has
about 100 interactions. Every measured run forgets another person; the starting of Python is part of it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from db import catalogue
from db.records import Item, ItemId, UserId
from db.store import Store

SIZES, QUICK = (10_000, 30_000, 100_000, 300_000, 1_000_000), (10_000, 30_000)
ROWS, ITEMS = 100, 3_700
"""Interactions a person, and items in the catalogue."""


def main() -> None:
    """Measure, print a table, write JSON and, where a place is named, a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small stores")
    parser.add_argument("--data", help="not used: the data set is synthetic")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--plot", type=Path, help="where the plot goes (SVG)")
    parser.add_argument("--stores", type=Path, help="folder that keeps the stores for the next run")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=2020)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        stores = options.stores or Path(scratch)
        sizes = QUICK if options.quick else SIZES
        figures = [measure(made(stores / str(size), size, options.seed), size, options.runs) for size in sizes]
    helped = timed(["--help"], options.runs)
    print(f"{'interactions':>12} {'people':>8} {'median s':>9} {'fastest s':>9} {'slowest s':>9} {'processor':>9}")
    for row in figures:
        spent = " ".join(f"{row[name]:>9.3f}" for name in ("median", "min", "max", "processor"))
        print(f"{row['interactions']:>12,} {row['people']:>8,} {spent}")
    print(
        f"lethe --help: median {helped['median']:.3f} s, fastest {helped['min']:.3f} s, "
        f"processor {helped['processor']:.3f} s"
    )
    if options.out:
        options.out.write_text(json.dumps({"forget": figures, "help": helped}, indent=2) + "\n")
    if options.plot:
        options.plot.write_text(plot(figures))


def made(root: Path, interactions: int, seed: int) -> Path:
    """A store with this many interactions, written in one transaction; one that is there already is used again."""
    if (root / "whole").exists():
        return root
    people = interactions // ROWS
    rng = np.random.default_rng(seed)
    store = Store.open(root, create=True)
    with store.writing() as unit:
        catalogue.put_items(unit, [Item(ItemId(f"i{n}"), f"Film {n}", 1990, ("Drama",)) for n in range(ITEMS)])
        catalogue.put_users(unit, [UserId(f"u{n}") for n in range(people)])
        for person in range(1, people + 1):
            items = np.sort(rng.choice(ITEMS, ROWS, replace=False)) + 1
            catalogue.put_interactions(unit, [(person, int(item), 4.0, 900_000_000 + person, 0, 0) for item in items])
        catalogue.bump_epoch(unit)
        unit.commit()
    store.close()
    (root / "whole").touch()
    return root


def measure(root: Path, interactions: int, runs: int) -> dict[str, Any]:
    """Whole-process seconds of forgetting one person after another."""
    store = Store.open(root)
    with store.reading() as unit:
        visible = sorted(user for user, stored in catalogue.stored_users(unit).items() if not stored.hidden_by)
    store.close()
    seconds = [run(["forget", "user", user, "--root", str(root)]) for user in visible[: runs + 1]]
    return {"interactions": interactions, "people": interactions // ROWS, **spread(seconds[1:])}


def timed(words: list[str], runs: int) -> dict[str, Any]:
    """The same of any command; the first run, which fills the file cache, is left out."""
    return spread([run(words) for _ in range(runs + 1)][1:])


def run(words: list[str]) -> tuple[float, float]:
    """Seconds from start to end of one process that must end well, on the clock and of the processor."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
    command = [sys.executable, "-m", "pipelines.cli.app", *words]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(seconds: list[tuple[float, float]]) -> dict[str, Any]:
    """Median, fastest and slowest on the clock, the runs themselves, and the median of processor seconds."""
    rounded = [round(clock, 4) for clock, _ in seconds]
    processor = round(statistics.median(spent for _, spent in seconds), 4)
    found = {"median": statistics.median(rounded), "min": min(rounded), "max": max(rounded)}
    return {**found, "processor": processor, "runs": rounded}


def plot(figures: list[dict[str, Any]]) -> str:
    """Median (dot) and range (line) against the size of the store on a logarithmic scale, as SVG."""
    left, bottom, width, height = 60, 240, 480, 200
    low, high = np.log10(figures[0]["interactions"]), np.log10(figures[-1]["interactions"])
    top = max(1.0, *(row["max"] for row in figures))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="580" height="300" font-family="sans-serif" font-size="12">',
        '<rect width="580" height="300" fill="white"/>',
        f'<text x="{left}" y="24">lethe forget user: seconds of the whole process (dot: median, line: range)</text>',
    ]
    for tick in np.linspace(0, top, 6):
        y = bottom - tick / top * height
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
    for row in figures:
        x = left + 20 + (np.log10(row["interactions"]) - low) / (high - low) * (width - 40)
        ys = {name: bottom - row[name] / top * height for name in ("median", "min", "max")}
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ys["min"]:.1f}" y2="{ys["max"]:.1f}" stroke="#1f77b4"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{ys["median"]:.1f}" r="4" fill="#1f77b4"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{row["interactions"]:,}</text>')
    parts.append(
        f'<text x="{left + width / 2}" y="{bottom + 40}" text-anchor="middle">interactions in the store</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
