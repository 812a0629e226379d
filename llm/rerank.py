"""From candidates and two opinions to the list a person gets."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm.fusion import fuse, order
from llm.ranking import Origin, Ranking
from llm.score.base import Scorer, Scores
from retrieval.context import Context


def rerank(
    contexts: Sequence[Context],
    backbone: Sequence[NDArray[np.floating]],
    scorer: Scorer | None,
    weight: float,
    *,
    max_shift: int | None = None,
) -> list[Ranking]:
    """One ranking of all candidates for each context.

    `backbone` holds the backbone's score of each candidate, in their order. With weight 0, or without a scorer, the
    model is not asked and the order stays as it came. Where the model was asked and gave no usable answer the order
    stays too, and the origin says fallback. A person without a history is not asked about: nothing tells candidates
    apart. With `max_shift` no candidate moves more than that many ranks.
    """
    _check(contexts, backbone)
    if scorer is None or weight == 0:
        return [_unchanged(one, scores, Origin.BACKBONE) for one, scores in zip(contexts, backbone, strict=True)]
    opinions = iter(scorer.score([one for one in contexts if one.history]))
    return [
        _fused(one, scores, next(opinions), weight, max_shift)
        if one.history
        else _unchanged(one, scores, Origin.BACKBONE)
        for one, scores in zip(contexts, backbone, strict=True)
    ]


def _check(contexts: Sequence[Context], backbone: Sequence[NDArray[np.floating]]) -> None:
    for context, scores in zip(contexts, backbone, strict=True):
        if len(context.candidates) != len(scores):
            raise ValueError(f"{len(context.candidates)} candidates but {len(scores)} backbone scores")


def _fused(
    context: Context, scores: NDArray[np.floating], opinion: Scores, weight: float, max_shift: int | None
) -> Ranking:
    if not context.candidates:
        return _unchanged(context, scores, Origin.BACKBONE)
    if not opinion.usable:
        return _unchanged(context, scores, Origin.FALLBACK)
    fused = fuse(scores, opinion.values, weight)
    places = order(fused, max_shift)
    return Ranking(
        user=context.user,
        items=tuple(context.candidates[place].id for place in places),
        scores=tuple(fused[places].tolist()),
        origin=Origin.MODEL if weight == 1 else Origin.FUSED,
    )


def _unchanged(context: Context, scores: NDArray[np.floating], origin: Origin) -> Ranking:
    return Ranking(context.user, tuple(item.id for item in context.candidates), tuple(map(float, scores)), origin)
