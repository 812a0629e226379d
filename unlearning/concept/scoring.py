"""From traces to masks: scores, and the places with the highest."""

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from unlearning.concept.mask import Mask, Shape, from_pairs
from unlearning.concept.traces import FloatArray


def standardise(values: FloatArray) -> FloatArray:
    """z-scores over all layers together; zeros where every value is the same.

    >>> standardise(np.array([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """
    spread = values.std()
    if spread == 0:
        return np.zeros_like(values)
    standard: FloatArray = (values - values.mean()) / spread
    return standard


def contrast(forget: FloatArray, retain: FloatArray, beta: float) -> FloatArray:
    """z(forget) - beta z(retain): high where the concept is, and its matched controls are not."""
    return standardise(forget) - beta * standardise(retain)


def fisher_ratio(forget: FloatArray, retain: FloatArray) -> FloatArray:
    """F_forget / (F_retain + e), with e a hundredth of the mean of F_retain: dead neurons do not come first."""
    ratio: FloatArray = forget / (retain + 0.01 * retain.mean() + np.finfo(np.float64).tiny)
    return ratio


def highest(scores: FloatArray, count: int, cap: float) -> list[tuple[int, int]]:
    """(layer, place) of the `count` highest scores, no layer holding more than the share `cap` of them.

    >>> highest(np.array([[9.0, 8.0, 7.0], [1.0, 2.0, 3.0]]), 4, 0.5)
    [(0, 0), (0, 1), (1, 1), (1, 2)]
    """
    layers, places = scores.shape
    most = min(places, int(np.ceil(cap * count)))
    if most * layers < count:
        raise LetheError(
            f"{count} places of {scores.size} with a cap of {cap:g} a layer: ask for fewer or raise the cap"
        )
    left = np.full(layers, most)
    chosen: list[tuple[int, int]] = []
    for flat in np.argsort(-scores, axis=None, kind="stable"):
        layer, place = divmod(int(flat), places)
        if len(chosen) < count and left[layer]:
            left[layer] -= 1
            chosen.append((layer, place))
    return sorted(chosen)


def top_neurons(scores: FloatArray, shape: Shape, count: int, *, cap: float, origin: str) -> Mask:
    """The mask of the `count` highest-scoring neurons."""
    return from_pairs(shape, highest(scores, count, cap), origin)


def random_neurons(shape: Shape, count: int, *, seed: int, origin: str = "random") -> Mask:
    """As many neurons drawn at random from all layers together."""
    if count > shape.layers * shape.width:
        raise LetheError(f"{count} neurons of {shape.layers * shape.width}: ask for fewer")
    drawn = np.random.default_rng([seed, 11]).choice(shape.layers * shape.width, size=count, replace=False)
    return from_pairs(shape, [divmod(int(flat), shape.width) for flat in drawn], origin)


def redrawn(mask: Mask, *, seed: int) -> Mask:
    """As many neurons in every layer as `mask` has, drawn at random: layers as guided, neurons not."""
    rng = np.random.default_rng([seed, 12])
    drawn = [
        (layer, int(j))
        for layer, chosen in enumerate(mask.neurons)
        for j in rng.choice(mask.shape.width, size=len(chosen), replace=False)
    ]
    return from_pairs(mask.shape, drawn, "layered")


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Spearman's, over all places of all layers; NaN where either is constant."""
    ranks: list[NDArray[np.int64]] = [np.argsort(np.argsort(part, axis=None), axis=None) for part in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
