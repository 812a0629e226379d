"""Oracle forks: a model that knows the evaluated concepts, and one that never met each of them.

    python -m benchmarks.concept_forks --work DIR [--titles N] [--first STEPS] [--second STEPS] [--threads N]
      [--concept NAME ...]

lethe-tiny took hours to learn 1,682 titles, and an oracle must learn them without the concept from nothing. So forks
learn a smaller catalogue: the evaluated concepts and the titles of ml-100k that most people met, N together. Under DIR:

- `catalogue`: the cut catalogue as a RecBole folder, for `lethe ingest recbole`
- `first`: trained from nothing without any of the concepts
- `base`, `without-...`: `first` trained on, with everything, and with everything but one concept; same seed, same steps
- `without-...-2`: the same with another seed, so another order of the same questions. How far two models are apart that
  never met a concept bounds what can be asked of one that forgot it
- `base-2`, `base-3`: replicates of the base, likewise. Where the oracles differ from them no more than trainings do,
  a figure tells nothing of the concept

With --concept only the oracles of these concepts are trained; what all forks share stays as it is, bit for bit.
Training that has ended is not done again: run the command once more after it was stopped. Then compare with
`lethe evaluate concepts --model DIR/base --oracle "Star Trek=DIR/without-star-trek"` in a root made of `catalogue`.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from benchmarks.catalogue import installed
from llm.tiny.concepts import EVALUATED, items_named
from llm.tiny.items import read_items
from llm.tiny.record import BuildRecord
from retrieval.named import words

TITLES = 600
FIRST, SECOND = 2400, 600
"""Steps of the stages: most of the first are for the questions themselves, which every fork shares. Half as many leave
a sixth of the answers in held-out wordings unknown, and what stays is then lost at the first push."""

ORACLES, REPLICATES = 2, 2
"""Oracles of each concept, and trainings beside the base on everything."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Cut the catalogue, then train what is not trained yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--titles", type=int, default=TITLES)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--second", type=int, default=SECOND)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--concept", choices=EVALUATED, action="append", help="can be repeated; all where not given")
    asked = parser.parse_args(arguments)
    folder = asked.work / "catalogue"
    if not (folder / "catalogue.item").is_file():
        cut(installed(), folder, asked.titles)
    for out, options in stages(asked.work, asked.first, asked.second, asked.concept or EVALUATED):
        if finished(out):
            print(f"{out.name}: trained already", flush=True)
            continue
        train = [sys.executable, "-m", "llm.tiny.train", "--items", str(folder / "catalogue.item"), "--out", str(out)]
        subprocess.run([*train, "--threads", str(asked.threads), *options], check=True)


def stages(
    work: Path, first: int, second: int, concepts: Sequence[str] = EVALUATED
) -> Iterator[tuple[Path, list[str]]]:
    """Where each training writes, and its options, in an order in which they can be done."""
    yield work / "first", ["--seed", "0", "--steps", str(first), "--without", *EVALUATED]
    later = ["--steps", str(second), "--rates", "0.8", "--decay", "0.6", "--start", str(work / "first")]
    yield work / "base", ["--seed", "1", *later]
    for place in range(ORACLES):
        for name in concepts:
            yield work / oracle_of(name, place), ["--seed", str(1 + place), *later, "--without", name]
    for place in range(REPLICATES):
        yield work / replicate_of(place), ["--seed", str(2 + place), *later]


def oracle_of(name: str, place: int = 0) -> str:
    """The folder of a checkpoint that is trained without a concept; the first has the base's own seed."""
    return f"without-{'-'.join(words(name))}" + (f"-{place + 1}" if place else "")


def replicate_of(place: int) -> str:
    """The folder of a training on everything beside the base."""
    return f"base-{place + 2}"


def finished(folder: Path) -> bool:
    """Whether the training into a folder came to its end."""
    return (folder / "record.json").is_file() and BuildRecord.read(folder).finished


def cut(source: Path, folder: Path, titles: int) -> None:
    """Write the rows of a RecBole folder that are about the concepts and the most met titles, in the source's order."""
    items = folder / "catalogue.item"
    met = Counter(line.split("\t")[1] for line in _lines(source / f"{source.name}.inter")[1:])
    kept = items_named(read_items(source / f"{source.name}.item"), EVALUATED)
    often = [name for name, _ in sorted(met.items(), key=lambda pair: (-pair[1], pair[0])) if name not in kept]
    wanted = {*kept, *often[: max(0, titles - len(kept))]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "catalogue.inter").write_text(_only(source / f"{source.name}.inter", 1, wanted), encoding="utf-8")
    items.write_text(_only(source / f"{source.name}.item", 0, wanted), encoding="utf-8")


def _only(path: Path, place: int, wanted: Collection[str]) -> str:
    header, *lines = _lines(path)
    return "\n".join([header, *(line for line in lines if line.split("\t")[place] in wanted), ""])


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


if __name__ == "__main__":
    main()
