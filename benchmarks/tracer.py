"""Ways to make the generative recommender forget a concept, on ml-100k, and the page of it.

    python -m benchmarks.tracer [--quick] [--minutes N] [--concept NAME ...] [--method NAME ...] [--seeds N]
                                [--out DIR] [--page FILE]

Recommenders are trained on every history but its last item, and asked for that. Finished cells are kept under --out:
run it again until it ends with 0; status 75 says that cells are left, and none is begun that would likely end after
--minutes. --page is written when nothing is left; OUT/tracer.md always. Without timestamps a history has no order, so
folders without them are not measured here.
"""

import argparse
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.catalogue import ml100k_items
from benchmarks.datasets import ml100k
from db import files
from pipelines.cli.evaluate_tracer import told
from pipelines.cli.output import plain, progress, say
from pipelines.evaluate.keep import FolderKeeper, Keeper
from pipelines.evaluate.page import About
from pipelines.evaluate.run import machine
from pipelines.evaluate_tracer.data import Rows, digest
from pipelines.evaluate_tracer.page import write
from pipelines.evaluate_tracer.run import Grid, Lab, quick, run
from pipelines.evaluate_tracer.summary import summarise
from recsys.candidates import FloatArray
from recsys.heldout import last_out
from recsys.splits import SplitRecipe
from retrieval.text import centred

MINUTES, QUICK_MINUTES = 55.0, 38.0

TEXTS = "texts.npy"


def rows(keeper: Keeper) -> Rows:
    """ml-100k without each person's last item; the text vectors are kept."""
    log, questions = last_out(ml100k(SplitRecipe("random")))
    items = tuple(ml100k_items(log.items))
    return Rows(0, digest(log, questions), items, vectors(keeper, items), log, questions)


def vectors(keeper: Keeper, items: tuple[object, ...]) -> FloatArray:
    """Centred text vectors of the catalogue, embedded once."""
    found = keeper.find("texts")
    if found is None:
        from retrieval.embeddings import TextEncoder, embed_items

        made = centred(embed_items(TextEncoder.load(), items))  # type: ignore[arg-type]
        found = keeper.keep("texts", lambda folder: np.save(folder / TEXTS, made, allow_pickle=False), {})
    return np.asarray(np.load(found / TEXTS, allow_pickle=False), dtype=np.float32)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed and concept, few epochs and steps")
    parser.add_argument("--minutes", type=float, help=f"{MINUTES:.0f}, or {QUICK_MINUTES:.0f} with --quick")
    parser.add_argument("--concept", action="append")
    parser.add_argument("--method", action="append")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--out", type=Path, default=Path("bench-out/tracer"))
    parser.add_argument("--page", type=Path)
    return parser.parse_args()


def wanted(asked: argparse.Namespace) -> Grid:
    """The grid that the arguments mean: what is named stands, in a quick run too."""
    usual = quick(Grid()) if asked.quick else Grid()
    return replace(
        usual,
        concepts=tuple(asked.concept or usual.concepts),
        methods=tuple(asked.method or usual.methods),
        seeds=asked.seeds or usual.seeds,
    )


def main() -> None:
    """Measure what is left, and write the page."""
    asked = arguments()
    out = asked.out / ("quick" if asked.quick else "full")
    keeper, grid = FolderKeeper(out), wanted(asked)
    lab = Lab(rows(keeper), keeper, progress)
    outcome = run(lab, grid, minutes=asked.minutes or (QUICK_MINUTES if asked.quick else MINUTES))
    found = plain(summarise(lab, grid, outcome))
    files.write_json(asked.out / "summary.json", found)
    print(told(json.loads(json.dumps(found))))
    title = "A concept forgotten by moving its ids: TRACER reconstructed"
    about = About(datetime.now(UTC), f"make bench-tracer{' QUICK=1' if asked.quick else ''}", machine(), title)
    write(asked.out / "tracer.md", about, found)
    left, failed = outcome.done.left, len(outcome.done.failed)
    say(f"{asked.out / 'tracer.md'}: {left} cells left, {failed} failed")
    if asked.page and not left:
        write(asked.page, about, found)
    sys.exit(75 if left else 1 if failed else 0)


if __name__ == "__main__":
    main()
