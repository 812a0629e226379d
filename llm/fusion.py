"""One order from two opinions: the backbone's and the language model's. numpy only.

Both are standardised within the list, since neither has a scale that means anything across people. The order in which
the candidates come is the backbone's opinion, its scores say only how far apart they lie: scores that rise along the
list (lists merged from two retrievals) are levelled first. A weight of 0 therefore gives back the order as it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from recsys.metrics import Interval, ndcg, paired_bootstrap

WEIGHTS = tuple(step / 10 for step in range(11))


@dataclass(frozen=True, slots=True)
class WeightChoice:
    """The chosen weight of the model, with what it was chosen from."""

    weight: float
    """0 unless the whole interval of the uplift lies above 0."""
    best: float
    """The weight with the highest mean NDCG, surely helpful or not."""
    grid: tuple[float, ...]
    ndcg: tuple[float, ...]
    """Mean NDCG at each weight of the grid."""
    uplift: Interval
    """NDCG at `best` minus that of the backbone alone. Measured on the rows it was chosen on, so on the high side."""
    people: int
    """People with something to find; the others are left out."""


def standardise(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean 0 and deviation 1; zeros where all values are equal.

    >>> standardise(np.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    centred = np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) if len(values) else np.zeros(0)
    deviation = np.sqrt(np.mean(centred**2)) if len(values) else 0.0
    return centred / deviation if deviation > 0 else np.zeros(len(values))


def fuse(backbone: NDArray[np.floating], model: NDArray[np.floating], weight: float) -> NDArray[np.float64]:
    """Fused score of each candidate: (1 - weight) of the backbone's and weight of the model's, each standardised.

    Candidates come best first. `order` of the result at weight 0 is the order they came in.
    """
    if not 0 <= weight <= 1:
        raise LetheError(f"fusion weight {weight} is outside 0 to 1: choose a share")
    if len(backbone) != len(model):
        raise ValueError(f"{len(backbone)} backbone scores but {len(model)} model scores")
    if not np.isfinite(backbone).all():
        raise ValueError("backbone scores are not finite")
    levelled = np.minimum.accumulate(np.asarray(backbone, np.float64))
    return (1 - weight) * standardise(levelled) + weight * standardise(model)


def order(fused: NDArray[np.floating], max_shift: int | None = None) -> NDArray[np.int64]:
    """Places of the candidates, best first; ties as they came.

    With `max_shift` no candidate ends more than that many ranks from where it came. Place by place, the best candidate
    within reach is taken, unless one may wait no longer; since no two must go by the same place, that always succeeds.
    """
    wanted = np.argsort(-np.asarray(fused), kind="stable").astype(np.int64)
    if max_shift is None:
        return wanted
    if max_shift < 0:
        raise LetheError(f"max_shift {max_shift} is negative: give a number of ranks, or none for no limit")
    waiting, placed = wanted.tolist(), []
    for place in range(len(wanted)):
        due = place - max_shift
        choice = due if due in waiting else next(row for row in waiting if row <= place + max_shift)
        waiting.remove(choice)
        placed.append(choice)
    return np.array(placed, np.int64)


def choose_weight(
    backbone: Sequence[NDArray[np.floating]],
    model: Sequence[NDArray[np.floating]],
    hits: Sequence[NDArray[np.bool_]],
    *,
    relevant: Sequence[int],
    seed: int,
    grid: Sequence[float] = WEIGHTS,
    k: int = 10,
) -> WeightChoice:
    """The weight with the highest mean NDCG@k on validation rows; 0 unless it surely helps.

    For each person: the scores of both, which candidates are validation rows (`hits`), and how many such rows there
    are, candidate or not (`relevant`). The weight is 0 unless the paired-bootstrap interval over people lies above 0;
    among equally good weights the smallest wins.
    """
    if 0 not in grid:
        raise LetheError(f"the grid of fusion weights {tuple(grid)} lacks 0: the backbone alone must be reachable")
    people = [person for person, count in enumerate(relevant) if count > 0]
    if not people:
        raise LetheError("no person has a validation row: the fusion weight cannot be chosen; ingest with a split")
    weights = tuple(sorted(grid))
    counts = np.array([relevant[person] for person in people], np.int64)
    table = []
    for weight in weights:
        found = np.zeros((len(people), k), np.bool_)
        for row, person in zip(found, people, strict=True):
            shown = hits[person][order(fuse(backbone[person], model[person], weight))][:k]
            row[: len(shown)] = shown
        table.append(ndcg(found, counts, k))
    means = [float(values.mean()) for values in table]
    best = int(np.argmax(means))
    uplift = paired_bootstrap(table[best], table[weights.index(0)], seed=seed)
    return WeightChoice(
        weight=weights[best] if uplift.low > 0 else 0.0,
        best=weights[best],
        grid=weights,
        ndcg=tuple(means),
        uplift=uplift,
        people=len(people),
    )
