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

FEWEST = 10
"""People of a stratum that is judged."""


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
    """False for few people, and where no oracle ever hits: models that never do show no spread, and 0 is no limit."""

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
    t(1 - (1 - level) / (2·strata), df)·s·√(1 + 1/n), n >= 3 oracles, s the spread of a stratum's mean between them as
    `spreads` has it, and df n - 1 for every two strata, as each person is in one by activity and in others by items.
    """
    n = enough(len(oracles))
    df = (n - 1) * max(1, len(groups) // 2)
    width = student.ppf(1 - (1 - level) / (2 * len(groups)), df) * np.sqrt(1 + 1 / n)
    values = [np.stack([group.ndcg(lists) for lists in oracles]) for group in groups]
    found = []
    for group, ndcg, spread in zip(groups, values, spreads(values), strict=True):
        was, now, mean, people = group.ndcg(before).mean(), group.ndcg(after).mean(), ndcg.mean(), ndcg.shape[1]
        judged = bool(ndcg.any()) and people >= FEWEST
        limit = float(width * spread)
        found.append(Bias(group.name, people, float(now - was), float(mean - was), limit, judged))
    return found


def spreads(values: Sequence[Floats]) -> Floats:
    """How far the mean of each stratum lies from oracle to oracle (standard deviation), [strata].

    `values` are [oracles, people] for each stratum. A handful of oracles tells little of one stratum by itself, but
    each of its people varies from oracle to oracle too. Did people vary by themselves, the variance of the mean would
    be theirs over their number; how much larger it is, since oracles are better or worse as a whole, is one factor, at
    least 1, which all strata tell together.
    """
    alone = np.array([one.var(axis=0, ddof=1).mean() / one.shape[1] for one in values])
    together = np.array([one.mean(axis=1).var(ddof=1) for one in values])
    known = alone > 0
    factor = max(1.0, float((together[known] / alone[known]).mean())) if known.any() else 1.0
    return np.asarray(np.sqrt(factor * alone), dtype=np.float64)


def verdict(
    groups: Sequence[Stratum], before: IntArray, after: IntArray, oracles: Sequence[IntArray], *, seed: int
) -> Verdict:
    """The audit "bias": the stratum whose bias exceeds its limit most, or comes nearest to it.

    Strata of few people or in which no oracle ever hits are left out, and the detail says so; void where none is left.
    Oracle's value: the largest distance of one oracle's mean from all oracles' mean there. Control: the first oracle,
    with the lists of the least active people put in random order; void where that is not seen.
    """
    found = biases(groups, before, after, oracles)
    left_out = [one.stratum for one in found if not one.judged]
    told_out = f"; left out, as too few people or no oracle's hit are there: {', '.join(left_out)}" if left_out else ""
    judged = [group for group, one in zip(groups, found, strict=True) if one.judged]
    if not judged:
        return Verdict("bias", 0.0, 0.0, detail=f"NDCG@{K}{told_out}")
    worst = max((one for one in found if one.judged), key=_excess)
    harmed = biases(groups, before, shuffled(oracles[0], judged[0].people, seed=seed), oracles)
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
