"""Saliency, Fisher, gradient norm and sensitivity to wording of neurons and heads, and clusters of shared neurons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llm.model import LanguageModel
from llm.prompt import Wording
from pipelines.localise.asked import SERVED_NAME, Asked
from pipelines.localise.overlaps import DRAWS, spearman
from unlearning.concept.base import Progress
from unlearning.concept.overlap import judged_rows
from unlearning.concept.rows import Row
from unlearning.concept.settings import Signal
from unlearning.concept.traces import Traces, gradient_norms, trace

Floats = NDArray[np.float64]

LEAST = 8
"""Rows that a class of preference has at least, to be traced by itself."""


@dataclass(frozen=True, slots=True)
class Traced:
    """Traces of the same requests: person by person as served, all of them in each wording, and by class as served."""

    people: Sequence[Traces]
    wordings: Mapping[str, Traces]
    classes: Mapping[str, Traces]
    gradient: Floats
    """Norm of the loss's gradient by each neuron's weights, as served, [layers, width]."""


def traced(model: LanguageModel, asked: Asked, wordings: Mapping[str, Wording], progress: Progress) -> Traced:
    """Trace what decides between yes and the rest, in every wording."""
    rows = {name: judged_rows(model, asked.contexts, wording) for name, wording in wordings.items()}
    served, names = rows[SERVED_NAME], asked.common(LEAST)
    steps = asked.people + len(rows) + len(names)
    done = iter(range(1, steps + 1))

    def _trace(part: Sequence[Row]) -> Traces:
        found = trace(model, part, signal=Signal.MARGIN)
        progress(next(done), steps)
        return found

    return Traced(
        people=[_trace(_chosen(served, asked.person == person)) for person in range(asked.people)],
        wordings={name: _trace(part) for name, part in rows.items()},
        classes={name: _trace(_chosen(served, asked.classes == name)) for name in names},
        gradient=gradient_norms(model, served),
    )


def _chosen(rows: Sequence[Row], wanted: NDArray[np.bool_]) -> list[Row]:
    return [rows[place] for place in np.flatnonzero(wanted).tolist()]


def frames(found: Traced) -> pl.DataFrame:
    """The maps: one row a neuron or head, with its layer and place."""
    served = found.wordings[SERVED_NAME]
    neurons = {
        "saliency": served.saliency,
        "fisher": served.fisher,
        "gradient": found.gradient,
        "sensitivity": sensitivity([one.saliency for one in found.wordings.values()]),
    }
    heads = {
        "saliency": served.head_saliency,
        "fisher": served.head_fisher,
        "sensitivity": sensitivity([one.head_saliency for one in found.wordings.values()]),
    }
    return pl.concat([_frame("neuron", neurons), _frame("head", heads)], how="diagonal")


def sensitivity(maps: Sequence[Floats]) -> Floats:
    """How much saliency changes with the wording: its standard deviation over wordings, [layers, places]."""
    found: Floats = np.std(maps, axis=0)
    return found


def _frame(kind: str, maps: Mapping[str, Floats]) -> pl.DataFrame:
    layers, places = next(iter(maps.values())).shape
    layer, place = np.divmod(np.arange(layers * places), places)
    return pl.DataFrame({"kind": kind, "layer": layer, "place": place, **{k: v.ravel() for k, v in maps.items()}})


def by_layer(found: Traced, *, seed: int) -> list[dict[str, Any]]:
    """Each layer's share of every map, and how far saliency and Fisher agree on the order of its neurons."""
    rows = frames(found).filter(pl.col("kind") == "neuron")
    names = ("saliency", "fisher", "gradient", "sensitivity")
    totals = {name: max(float(rows[name].sum()), np.finfo(np.float64).tiny) for name in names}
    agreed = agreement(found.people, seed=seed)
    return [
        {
            "layer": layer,
            **{f"{name}_share": float(own[name].sum()) / totals[name] for name in names},
            "rank_agreement": agreed[layer],
        }
        for layer, own in enumerate(rows.partition_by("layer", maintain_order=True))
    ]


def agreement(people: Sequence[Traces], *, seed: int, draws: int = DRAWS // 5) -> list[dict[str, float] | None]:
    """Spearman's of saliency and Fisher over the neurons of each layer, with 95% intervals over people."""
    saliency, fisher = (np.stack([getattr(one, name) for one in people]) for name in ("saliency", "fisher"))
    weights = np.array([one.tokens for one in people], dtype=np.float64)
    rng = np.random.default_rng([seed, 37])
    counts = [np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people)) for _ in range(draws)]
    whole = _agreements(saliency, fisher, weights)
    drawn = [_agreements(saliency, fisher, weights * count) for count in counts]
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    return [
        {"mean": value, "low": float(low[layer]), "high": float(high[layer])} if np.isfinite(value) else None
        for layer, value in enumerate(whole)
    ]


def _agreements(saliency: Floats, fisher: Floats, weights: Floats) -> list[float]:
    first, second = (np.tensordot(weights, part, axes=1) for part in (saliency, fisher))
    return [spearman(a, b) for a, b in zip(first, second, strict=True)]


def clusters(maps: Mapping[str, Floats], count: int) -> dict[str, Any]:
    """The `count` most salient neurons of each map beside each other: in how many maps a neuron is among them.

    `jaccard` is the mean over pairs of maps, `chance` what two random choices would have; `shared` counts neurons by
    the number of maps they are in, `core` those that are in all of them, by layer.
    """
    layers, width = next(iter(maps.values())).shape
    chosen = [np.argsort(-values, axis=None, kind="stable")[:count] for values in maps.values()]
    common = [len(np.intersect1d(a, b)) for a, b in combinations(chosen, 2)]
    pairs = [one / (2 * count - one) for one in common]
    together = np.bincount(np.concatenate(chosen), minlength=layers * width)
    share = count / (layers * width)
    return {
        "maps": list(maps),
        "count": count,
        "jaccard": float(np.mean(pairs)) if pairs else None,
        "chance": share / (2 - share),
        "shared": np.bincount(together, minlength=len(maps) + 1)[1:].tolist(),
        "core": (together.reshape(layers, width) == len(maps)).sum(axis=1).tolist(),
    }


def top_heads(found: Traced, count: int = 8) -> list[dict[str, Any]]:
    """The heads whose saliency changes most with the wording."""
    rows = frames(found).filter(pl.col("kind") == "head").sort("sensitivity", descending=True, maintain_order=True)
    return rows.head(count).select("layer", "place", "saliency", "fisher", "sensitivity").to_dicts()


def shared(found: Traced, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Clusters over wordings and over classes of preference, where there are two of them at least."""
    for name, maps in (("wordings", found.wordings), ("classes", found.classes)):
        if len(maps) > 1:
            yield name, clusters({key: one.saliency for key, one in maps.items()}, count)
