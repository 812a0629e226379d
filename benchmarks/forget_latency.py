"""How long `lethe forget user` takes, as a whole process, while the store grows; and `lethe --help`.

Processor seconds (user and system) stand beside the clock: on a machine that does other work they are the figure.
Python's modules are compiled before the measured runs, as pip leaves them. The largest store is measured once more with
the installation as it stands: where nothing was compiled (uv does not, and PYTHONDONTWRITEBYTECODE keeps Python from
it), every start compiles them again.

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
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from db import catalogue
from db.records import Item, ItemId, UserId
from db.store import Store

SIZES, QUICK = (10_000, 30_000, 100_000, 300_000, 1_000_000), (10_000, 30_000)
ROWS, ITEMS = 100, 3_700
"""Interactions a person, and items in the catalogue."""

BLUE = "#1f77b4"


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
        python = Python(Path(scratch) / "compiled")
        roots = {size: made(stores / str(size), size, options.seed) for size in sizes}
        figures = [measure(python, root, size, options.runs) for size, root in roots.items()]
        helped = timed(python, ["--help"], options.runs)
        standing = measure(Python(None), roots[sizes[-1]], sizes[-1], options.runs)
    show(figures, standing, helped)
    if options.out:
        told = {"forget": figures, "forget_as_installed": standing, "help": helped}
        options.out.write_text(json.dumps(told, indent=2) + "\n")
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


@dataclass(frozen=True, slots=True)
class Python:
    """How the measured processes are started: with modules compiled into a folder, or (None) as it stands here."""

    compiled: Path | None

    def run(self, words: list[str]) -> tuple[float, float]:
        """Seconds from start to end of one command that must end well, on the clock and of the processor."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
        if self.compiled is not None:
            kept |= {"PYTHONPYCACHEPREFIX": str(self.compiled), "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, "-m", "pipelines.cli.app", *words]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=kept)
        clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(python: Python, root: Path, interactions: int, runs: int) -> dict[str, Any]:
    """Whole-process seconds of forgetting one person after another; the first, which fills caches, is left out."""
    store = Store.open(root)
    with store.reading() as unit:
        visible = sorted(user for user, stored in catalogue.stored_users(unit).items() if not stored.hidden_by)
    store.close()
    seconds = [python.run(["forget", "user", user, "--root", str(root)]) for user in visible[: runs + 1]]
    return {"interactions": interactions, "people": interactions // ROWS, **spread(seconds[1:])}


def timed(python: Python, words: list[str], runs: int) -> dict[str, Any]:
    """The same of any command."""
    return spread([python.run(words) for _ in range(runs + 1)][1:])


def show(figures: list[dict[str, Any]], standing: dict[str, Any], helped: dict[str, Any]) -> None:
    """Print the table."""

    def line(row: dict[str, Any]) -> str:
        return " ".join(f"{row[name]:>9.3f}" for name in ("median", "min", "max", "processor"))

    print(f"{'interactions':>12} {'people':>8} {'median s':>9} {'fastest s':>9} {'slowest s':>9} {'processor':>9}")
    for row in figures:
        print(f"{row['interactions']:>12,} {row['people']:>8,} {line(row)}")
    print(f"{'as it is installed':>21} {line(standing)}")
    print(f"{'lethe --help':>21} {line(helped)}")


def spread(seconds: list[tuple[float, float]]) -> dict[str, Any]:
    """Median, fastest and slowest on the clock, the runs themselves, and the median of processor seconds."""
    rounded = [round(clock, 4) for clock, _ in seconds]
    processor = round(statistics.median(spent for _, spent in seconds), 4)
    found = {"median": statistics.median(rounded), "min": min(rounded), "max": max(rounded)}
    return {**found, "processor": processor, "runs": rounded}


def plot(figures: list[dict[str, Any]]) -> str:
    """Median, range and processor time against the size of the store on a logarithmic scale, as SVG."""
    left, right, top, bottom = 64, 596, 64, 284
    low, high = np.log10(figures[0]["interactions"]), np.log10(figures[-1]["interactions"])
    ceiling = max(1.2, 0.2 * ceil(5.1 * max(row["max"] for row in figures)))

    def height(seconds: float) -> str:
        return f"{bottom - seconds / ceiling * (bottom - top):.1f}"

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 340" width="620" height="340" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        '<rect width="620" height="340" fill="white"/>',
        f'<text x="{left}" y="22" font-size="15">lethe forget user: seconds of the whole process</text>',
        *_legend(left, 44),
    ]
    for fifth in range(round(ceiling * 5) + 1):
        y = height(fifth / 5)
        stroke = 'stroke="#c0392b" stroke-dasharray="6 4"' if fifth == 5 else 'stroke="#ddd"'
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" {stroke}/>')
        parts.append(f'<text x="{left - 8}" y="{y}" dy="4" text-anchor="end">{fifth / 5:.1f}</text>')
    for row in figures:
        x = f"{left + 36 + (np.log10(row['interactions']) - low) / (high - low) * (right - left - 72):.1f}"
        ends = f'y1="{height(row["min"])}" y2="{height(row["max"])}"'
        parts.append(f'<line x1="{x}" x2="{x}" {ends} stroke="{BLUE}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x}" cy="{height(row["median"])}" r="5" fill="{BLUE}"/>')
        parts.append(f'<circle cx="{x}" cy="{height(row["processor"])}" r="4" fill="white" stroke="{BLUE}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{row["interactions"]:,}</text>')
    middle = (left + right) // 2
    parts.append(f'<text x="{middle}" y="{bottom + 44}" text-anchor="middle">interactions in the store</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(x: int, y: int) -> list[str]:
    return [
        f'<circle cx="{x + 5}" cy="{y - 4}" r="5" fill="{BLUE}"/>',
        f'<text x="{x + 16}" y="{y}">median</text>',
        f'<line x1="{x + 88}" x2="{x + 88}" y1="{y - 12}" y2="{y + 3}" stroke="{BLUE}" stroke-width="2"/>',
        f'<text x="{x + 98}" y="{y}">fastest to slowest</text>',
        f'<circle cx="{x + 236}" cy="{y - 4}" r="4" fill="white" stroke="{BLUE}"/>',
        f'<text x="{x + 246}" y="{y}">processor seconds</text>',
        f'<line x1="{x + 378}" x2="{x + 402}" y1="{y - 4}" y2="{y - 4}" stroke="#c0392b" stroke-dasharray="6 4"/>',
        f'<text x="{x + 410}" y="{y}">target</text>',
    ]


if __name__ == "__main__":
    main()
