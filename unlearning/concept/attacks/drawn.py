"""Which facts a relearning attack is given, and which it is asked."""

from collections.abc import Sequence

import numpy as np

from unlearning.concept.base import Probe


def examples(probes: Sequence[Probe], count: int, *, seed: int) -> tuple[Probe, ...]:
    """So many probes (all, if there are fewer), drawn."""
    order = np.random.default_rng([seed, 26]).permutation(len(probes))[:count]
    return tuple(probes[place] for place in order)


def halves(
    taught: Sequence[Probe], asked: Sequence[Probe], *, seed: int
) -> tuple[tuple[Probe, ...], tuple[Probe, ...]]:
    """Of `taught` one half of the facts, of `asked` the other: half of the items, or of the facts of a single one.

    A single item's facts that contain another (a description holds the year) are in neither half.
    """
    rng = np.random.default_rng([seed, 27])
    items = sorted({str(probe.item) for probe in taught} & {str(probe.item) for probe in asked})
    if len(items) > 1:
        first = {items[row] for row in rng.permutation(len(items))[: len(items) // 2]}
        return (
            tuple(probe for probe in taught if str(probe.item) in first),
            tuple(probe for probe in asked if str(probe.item) not in first and str(probe.item) in items),
        )
    answers = sorted({probe.answers[0] for probe in taught})
    apart = [one for one in answers if not any(other != one and other in one for other in answers)]
    chosen = {apart[row] for row in rng.permutation(len(apart))[: len(apart) // 2]}
    return (
        tuple(probe for probe in taught if probe.answers[0] in chosen),
        tuple(probe for probe in asked if probe.answers[0] in apart and probe.answers[0] not in chosen),
    )
