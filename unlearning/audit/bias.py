"""Unlearning bias: did forgetting change the quality for people who asked for nothing, beyond what the oracle shows?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from db.errors import LetheError
from db.records import Verdict
from recsys.candidates import IntArray
from recsys.metrics import PAD, evaluate
from unlearning.audit.evidence import enough

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

K = 10
"""The cut-off of the NDCG."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Some of the people, bool [people], and those of their relevant items that belong to it."""

    name: str
    people: Bools
    relevant: list[IntArray]
    """One entry for each of the chosen people, none of them empty."""

    def ndcg(self, lists: IntArray) -> Floats:
        """NDCG@10 of each of the chosen people, from the lists [people, k] of all."""
        return evaluate([row[row != PAD] for row in lists[self.people]], self.relevant, K).ndcg


def strata(
    histories: Sequence[IntArray], relevant: Sequence[IntArray], popularity: Ints, parts: int = 4
) -> list[Stratum]:
    """People by activity and relevant items by `popularity` [items], each in `parts` of one size, low to high.

    A stratum of items holds the people who have a relevant item in it, and counts those items alone. Strata without
    anybody are left out.
    """
    found = []
    for place, chosen in enumerate(_parts(np.array([len(np.unique(h)) for h in histories]), parts), start=1):
        mine = [relevant[person] for person in np.flatnonzero(chosen).tolist()]
        found.append(Stratum(f"activity {place}/{parts}", chosen, mine))
    for place, items in enumerate(_parts(popularity, parts), start=1):
        kept = [np.asarray(wanted)[items[wanted]] for wanted in relevant]
        some = np.array([len(wanted) > 0 for wanted in kept], dtype=np.bool_)
        found.append(Stratum(f"popularity {place}/{parts}", some, [wanted for wanted in kept if len(wanted)]))
    return [stratum for stratum in found if stratum.people.any()]


def _parts(values: Ints, parts: int) -> list[Bools]:
    place = np.empty(len(values), dtype=np.int64)
    place[np.argsort(values, kind="stable")] = np.arange(len(values)) * parts // max(1, len(values))
    return [place == part for part in range(parts)]


@dataclass(frozen=True, slots=True)
class Bias:
    """One stratum's mean change in NDCG@10, the oracles' mean change, and the spread between oracles as a limit."""

    stratum: str
    people: int
    change: float
    oracle_change: float
    limit: float
    judged: bool = True
    """False where no oracle ever hits: models that never do show no spread, and 0 would be no limit but none at all."""

    @property
    def bias(self) -> float:
        """The change beyond the oracle's, to nine decimals: what is left of equal sums is rounding."""
        return round(self.change - self.oracle_change, 9)

    @property
    def excess(self) -> float:
        """The size of the bias in units of its limit; infinite for a bias where the limit is 0."""
        size = abs(self.bias)
        return size / self.limit if self.limit > 0 else (0.0 if size == 0 else float("inf"))


def biases(
    groups: Sequence[Stratum], before: IntArray, after: IntArray, oracles: Sequence[IntArray], *, level: float = 0.95
) -> list[Bias]:
    """The bias of each stratum; lists are [people, k] of untouched people, who are the same in all.

    Limit: were `after` another oracle, every stratum's bias would stay under its limit with probability `level`:
    t(1 - (1 - level) / (2·strata), n - 1)·s·√(1 + 1/n), s the spread of the n oracles' means, n >= 3.
    """
    n = enough(len(oracles))
    width = student.ppf(1 - (1 - level) / (2 * len(groups)), n - 1) * np.sqrt(1 + 1 / n)
    found = []
    for group in groups:
        was, now = group.ndcg(before).mean(), group.ndcg(after).mean()
        means = np.array([group.ndcg(lists).mean() for lists in oracles])
        limit, judged = float(width * means.std(ddof=1)), bool(means.any())
        change, oracle_change = float(now - was), float(means.mean() - was)
        found.append(Bias(group.name, int(group.people.sum()), change, oracle_change, limit, judged))
    return found


def verdict(
    groups: Sequence[Stratum], before: IntArray, after: IntArray, oracles: Sequence[IntArray], *, seed: int
) -> Verdict:
    """The audit "bias": the stratum whose bias exceeds its limit most, or comes nearest to it.

    Strata in which no oracle ever hits are left out, and the detail says so; void where none is left. Oracle's value:
    the largest distance of one oracle's mean from all oracles' mean there. Control: `after`, with the lists of the
    least active people put in random order; void where that is not seen.
    """
    found = biases(groups, before, after, oracles)
    left_out = [one.stratum for one in found if not one.judged]
    told_out = f"; left out, as no oracle ever hits there: {', '.join(left_out)}" if left_out else ""
    judged = [group for group, one in zip(groups, found, strict=True) if one.judged]
    if not judged:
        return Verdict("bias", 0.0, 0.0, detail=f"NDCG@{K}{told_out}")
    worst = max((one for one in found if one.judged), key=_excess)
    harmed = biases(groups, before, shuffled(after, judged[0].people, seed=seed), oracles)
    planted = max((one for one in harmed if one.judged), key=_excess)
    (group,) = (group for group in judged if group.name == worst.stratum)
    means = np.array([group.ndcg(lists).mean() for lists in oracles])
    told = f"{worst.people} people, change {worst.change:+.4f}, oracle's {worst.oracle_change:+.4f}"
    control = f"control: {planted.stratum} with a limit of {planted.limit:.4f}"
    return Verdict(
        "bias",
        abs(worst.bias),
        worst.limit,
        control=abs(planted.bias),
        control_found=planted.excess > 1,
        oracle=float(np.abs(means - means.mean()).max()),
        detail=f"NDCG@{K} of {worst.stratum}: {told}; {control}{told_out}",
    )


def shuffled(lists: IntArray, people: Bools, *, seed: int) -> IntArray:
    """The lists [people, k], those of the chosen people in random order."""
    if not people.any():
        raise LetheError("nobody was chosen whose list could be shuffled")
    out = lists.copy()
    out[people] = np.random.default_rng(seed).permuted(out[people], axis=1)
    return out


def _excess(found: Bias) -> float:
    return found.excess
