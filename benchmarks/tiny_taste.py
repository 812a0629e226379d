"""Can lethe-tiny tell what real people liked? `python -m benchmarks.tiny_taste [--quick] [--data DIR] [--out FILE]`.

For evaluation only: no user row enters the model. For each person of ml-100k, L of the items met are the visible
history and others are held out; every held-out item stands against an item the person never met, of the closest
popularity. AUC within the person, averaged over people: of the model, of the mean genre Jaccard of candidate and
history, of a lift rule on genres and decades, and of popularity (which the matching makes useless).
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from db.records import Item, UserId
from llm.tiny.checkpoint import checkpoint_path
from llm.tiny.evaluate import load_examiner
from llm.tiny.items import read_items
from llm.tiny.judging import auc
from retrieval.context import Context

Scores = NDArray[np.float64]
HISTORY = 20
PAIRS = 10


@dataclass(frozen=True, slots=True)
class Case:
    """One person: the visible history, held-out items and matched unseen ones, and which are which."""

    history: tuple[Item, ...]
    candidates: tuple[Item, ...]
    liked: NDArray[np.bool_]

    @property
    def context(self) -> Context:
        """What the model sees."""
        return Context(UserId("x"), self.history, self.candidates)


def read_people(path: Path) -> dict[str, list[str]]:
    """The items of every person, from a RecBole `.inter` file."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = [column.partition(":")[0] for column in header.split("\t")]
    people: dict[str, list[str]] = {}
    for fields in (line.split("\t") for line in lines):
        people.setdefault(fields[names.index("user_id")], []).append(fields[names.index("item_id")])
    return people


def cases(people: dict[str, list[str]], items: Sequence[Item], rng: np.random.Generator) -> list[Case]:
    """One case a person with enough items."""
    by_id = {item.id: item for item in items}
    popularity = Counter(item for met in people.values() for item in met)
    ordered = sorted(by_id, key=lambda item: (-popularity[item], item))
    made = []
    for met in people.values():
        if len(met) < HISTORY + 5:
            continue
        shuffled = [met[place] for place in rng.permutation(len(met))]
        held_out = shuffled[HISTORY : HISTORY + PAIRS]
        others = matched(held_out, ordered, set(met), rng)
        candidates = tuple(by_id[item] for item in (*held_out, *others))
        history = tuple(by_id[item] for item in shuffled[:HISTORY])
        made.append(Case(history, candidates, np.arange(len(candidates)) < len(held_out)))
    return made


def matched(held_out: Sequence[str], ordered: Sequence[str], met: set[str], rng: np.random.Generator) -> list[str]:
    """For each held-out item one of the five unmet items nearest to it in popularity, none twice."""
    unmet = [place for place, item in enumerate(ordered) if item not in met]
    places = {item: place for place, item in enumerate(ordered)}
    chosen: list[int] = []
    for item in held_out:
        near = sorted((place for place in unmet if place not in chosen), key=lambda p: abs(p - places[item]))[:5]
        chosen.append(near[int(rng.integers(len(near)))])
    return [ordered[place] for place in chosen]


def jaccard(case: Case) -> Scores:
    """The mean genre Jaccard of each candidate with the history."""
    genres = [set(item.genres) for item in case.history]

    def score(candidate: set[str]) -> float:
        return float(np.mean([len(candidate & met) / max(1, len(candidate | met)) for met in genres]))

    return np.array([score(set(item.genres)) for item in case.candidates])


def features(item: Item) -> set[str]:
    """Genres and decade."""
    return {*item.genres, *([f"{item.year // 10}"] if item.year is not None else [])}


def lift(items: Sequence[Item]) -> Callable[[Case], Scores]:
    """The sum over genres and decade of the log ratio of share in the history and share in the catalogue."""
    base = Counter(feature for item in items for feature in features(item))

    def score(case: Case) -> Scores:
        seen = Counter(feature for item in case.history for feature in features(item))
        size = len(case.history)
        ratio = {name: np.log((seen[name] + 1) / (size * count / len(items) + 1)) for name, count in base.items()}
        return np.array([sum(ratio[name] for name in sorted(features(item))) for item in case.candidates])

    return score


def interval(values: Scores, rng: np.random.Generator) -> tuple[float, float]:
    """The bootstrap 95% interval of the mean over people."""
    means = values[rng.integers(len(values), size=(1000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny_taste", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 people")
    parser.add_argument("--data", type=Path, help="folder of RecBole atomic files (default: ml-100k as shipped)")
    parser.add_argument("--checkpoint", type=Path, default=checkpoint_path())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(2)
    folder = asked.data or default_data()
    items = read_items(next(folder.glob("*.item")))
    people = read_people(next(folder.glob("*.inter")))
    popularity = Counter(item for met in people.values() for item in met)
    made = cases(people, items, np.random.default_rng(asked.seed))[: 100 if asked.quick else None]
    examiner = load_examiner(asked.checkpoint)
    rules: dict[str, Callable[[Case], Scores]] = {
        "lethe-tiny": lambda case: examiner.judgements(case.context),
        "genre Jaccard": jaccard,
        "genre and decade lift": lift(items),
        "popularity": lambda case: np.array([float(popularity[item.id]) for item in case.candidates]),
    }
    found = {name: np.array([auc(rule(case), case.liked) for case in made]) for name, rule in rules.items()}
    report(found, asked.seed, asked.out)


def report(found: dict[str, Scores], seed: int, out: Path | None) -> None:
    """A table with each rule's AUC and the model's advantage over it."""
    rng = np.random.default_rng(seed)
    model = found["lethe-tiny"]
    print(f"{len(model)} people, history {HISTORY}, at most {PAIRS} pairs each, seed {seed}")
    rows = {}
    for name, values in found.items():
        low, high = interval(model - values, rng)
        rows[name] = {
            "auc": float(values.mean()),
            "model_ahead": float((model - values).mean()),
            "interval": (low, high),
        }
        print(
            f"{name:24} AUC {values.mean():.4f}   model ahead {(model - values).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        )
    if out:
        out.write_text(
            json.dumps({"people": len(model), "seed": seed, "rules": rows}, indent=2) + "\n", encoding="utf-8"
        )


def default_data() -> Path:
    """ml-100k, as the recbole distribution ships it; RecBole itself is not imported."""
    spec = find_spec("recbole")
    if spec is None or spec.origin is None:
        raise SystemExit("recbole is not installed: name a folder with --data")
    return Path(spec.origin).parent / "dataset_example" / "ml-100k"


if __name__ == "__main__":
    main()
