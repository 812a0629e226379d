"""What a training on the rows that stay would draw: fewer pairs, and forgotten items among the items not met."""

import numpy as np
from numpy.typing import NDArray

from recsys.candidates import IntArray
from unlearning.data.conjugate import Array
from unlearning.data.pairwise import Triples


def remaining(triples: Triples, kept: NDArray[np.bool_], *, items: int, seed: int) -> Triples:
    """The kept ones of `triples`, weighed as an epoch on their pairs alone would draw them, in expectation.

    Whoever has met m of `items` items has items − m to draw from. After forgetting there are more, so that each of
    those before is drawn less often; and a forgotten item is drawn against what stays, by `seed` against which pair.
    """
    met, stay = (_pairs(triples.take(mask), triples) for mask in (np.ones_like(kept), kept))
    unmet = np.maximum(items - stay, 1.0)
    mine = triples.take(kept)
    rarer = mine.told(mine.weight * ((items - met) / unmet)[mine.user], mine.target)
    gone = triples.take(~kept & (stay > 0)[triples.user])
    partner = _partners(mine.user, gone.user, seed)
    weight = gone.weight * (stay / unmet)[gone.user]
    return merged(rarer, Triples(gone.user, mine.item[partner], gone.item, weight, np.ones(len(weight))))


def merged(one: Triples, other: Triples) -> Triples:
    """Both, sorted by user."""
    order = np.argsort(np.concatenate([one.user, other.user]), kind="stable")
    columns = zip(_columns(one), _columns(other), strict=True)
    user, item, unmet, weight, target = (np.concatenate(pair)[order] for pair in columns)
    return Triples(user, item, unmet, weight, target)


def _columns(of: Triples) -> tuple[NDArray[np.generic], ...]:
    return of.user, of.item, of.other, of.weight, of.target


def _pairs(of: Triples, all_: Triples) -> Array:
    """How many pairs each user has: the triples of a pair weigh 1 together."""
    return np.rint(np.bincount(of.user, of.weight, int(all_.user.max(initial=-1)) + 1))


def _partners(user: IntArray, wanted: IntArray, seed: int) -> IntArray:
    """For each wanted user the place of one of its entries in the sorted `user`, by lot."""
    first, last = (np.searchsorted(user, wanted, side=side) for side in ("left", "right"))
    lot = np.random.default_rng(seed).random(len(wanted))
    return np.asarray(first + np.floor(lot * (last - first)), dtype=np.int64)
