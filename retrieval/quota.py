"""How many places of a hybrid list belong to the text neighbours: chosen on validation rows by recall."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db.errors import LetheError
from recsys.candidates import IntArray
from recsys.metrics import evaluate

SHARES = (0.0, 0.04, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class QuotaChoice:
    """The chosen share of text neighbours, and the recall at every share tried."""

    share: float
    recall: dict[float, float]


def places(share: float, k: int) -> int:
    """Text neighbours in a list of k."""
    return round(share * k)


def union(lead: IntArray, text: IntArray, k: int, share: float) -> IntArray:
    """At most k distinct rows: the best of `lead`, then `text` neighbours for their share and wherever `lead` is short.

    A neighbour that `lead` has already brought takes no place of the text's.
    """
    kept = lead[: k - places(share, k)]
    return np.concatenate([kept, text[~np.isin(text, kept)][: k - len(kept)]])


def choose_quota(
    lead: Sequence[IntArray],
    text: Sequence[IntArray],
    relevant: Sequence[IntArray],
    *,
    k: int = 50,
    shares: Sequence[float] = SHARES,
) -> QuotaChoice:
    """The share with the best mean recall@k of the union over validation people; of equal ones the smallest.

    `lead` and `text` hold each person's full lists of at least k rows, `relevant` the held-out rows.
    """
    if not relevant:
        raise LetheError("nobody has a validation row, so no quota can be chosen; pass a quota or split again")
    recall = {
        share: float(
            evaluate([union(a, b, k, share) for a, b in zip(lead, text, strict=True)], relevant, k).recall.mean()
        )
        for share in sorted(shares)
    }
    return QuotaChoice(max(recall, key=lambda share: recall[share]), recall)
