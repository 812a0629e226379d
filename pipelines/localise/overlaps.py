"""How alike neurons are between wordings of a request and between classes of preference, and whether drift follows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from llm.model import LanguageModel
from llm.prompt import Wording
from pipelines.drift.figures import intervals
from pipelines.localise.asked import SERVED_NAME, Asked, by_request
from recsys.agreement import kendall_tau
from unlearning.concept.base import Progress
from unlearning.concept.overlap import Readings, Spread, centred_cosine, cka, judged_rows, likeness, read

Floats = NDArray[np.float64]

DRAWS = 500
"""Resamplings of people for a correlation."""


def measured(
    model: LanguageModel, asked: Asked, wordings: Mapping[str, Wording], *, seed: int, progress: Progress
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """One row a wording, layer and person, and the figures of every layer. The served wording comes first."""
    spread, parts, alignments = Spread(), list[pl.DataFrame](), list[list[float]]()
    first: Readings | None = None
    for place, (name, wording) in enumerate(wordings.items()):
        found = read(model, judged_rows(model, asked.contexts, wording))
        spread.add(found.neurons)
        first = first or found
        if name != SERVED_NAME:
            parts.append(_rows(name, asked, first, found))
            alignments.append([cka(a, b) for a, b in zip(first.neurons, found.neurons, strict=True)])
        progress(place + 1, len(wordings))
    if first is None or not parts:
        raise ValueError("the served wording and another one are wanted")
    rows = pl.concat(parts)
    return rows, _figures(rows, asked, first, spread.share(), np.mean(alignments, axis=0), seed=seed)


def _rows(name: str, asked: Asked, served: Readings, other: Readings) -> pl.DataFrame:
    """Mean overlap by layer and person, beside the agreement of that person's lists."""
    tau = kendall_tau(by_request(other.leaning, asked), by_request(served.leaning, asked))
    owners = np.array([one.person for one in asked.requests])
    agreed = [float(np.nanmean(tau[owners == person])) for person in range(asked.people)]
    parts = []
    for layer, (a, b) in enumerate(zip(served.neurons, other.neurons, strict=True)):
        cosine = centred_cosine(a, b).astype(np.float64)
        overlap = [float(cosine[asked.person == person].mean()) for person in range(asked.people)]
        columns = {"wording": name, "layer": layer, "person": range(asked.people), "overlap": overlap, "tau": agreed}
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts)


def _figures(
    rows: pl.DataFrame, asked: Asked, served: Readings, shares: Floats, alignment: Floats, *, seed: int
) -> list[dict[str, Any]]:
    layers = rows.partition_by("layer", maintain_order=True)
    overlaps = intervals([_by_person(one, "overlap", asked.people) for one in layers], seed)
    return [
        {
            "layer": layer,
            "overlap": overlaps[layer],
            "cka": float(alignment[layer]),
            "wording_share": float(shares[layer]),
            "classes": classes_apart(served.neurons[layer], asked, seed=seed),
            "correlation": correlation(one, asked.people, seed=seed),
        }
        for layer, one in enumerate(layers)
    ]


def _by_person(rows: pl.DataFrame, column: str, people: int) -> Floats:
    means = rows.group_by("person").agg(pl.col(column).mean()).sort("person")[column].to_numpy()
    return means.astype(np.float64) if len(means) == people else np.full(people, np.nan)


def correlation(rows: pl.DataFrame, people: int, *, seed: int) -> dict[str, float] | None:
    """Spearman's of drift (1 - tau) and overlap over people and wordings, with a 95% interval over people.

    None where either is the same for all.
    """
    ordered = rows.sort("person", "wording")
    drift, overlap = (ordered[name].to_numpy().reshape(people, -1) for name in ("tau", "overlap"))
    value = spearman(1 - drift, overlap)
    rng = np.random.default_rng([seed, 36])
    drawn = [rng.integers(people, size=people) for _ in range(DRAWS)]
    known = [x for x in (spearman(1 - drift[one], overlap[one]) for one in drawn) if np.isfinite(x)]
    if not np.isfinite(value) or not known:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return {"mean": value, "low": float(low), "high": float(high)}


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation over all places, ties by their mean rank; NaN where either is constant.

    >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([9.0, 8.0, 7.0])), 6)
    -1.0
    """
    known = np.isfinite(a.ravel()) & np.isfinite(b.ravel())
    ranks = [rankdata(part.ravel()[known]) for part in (a, b)]
    if len(ranks[0]) < 2 or any(np.ptp(part) == 0 for part in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def classes_apart(neurons: NDArray[np.float32], asked: Asked, *, seed: int) -> dict[str, Any] | None:
    """Mean-centred cosine within classes of preference and between them; intervals over people.

    A row is compared with the rows of other people alone. None where no class has rows of two people.
    """
    table = likeness(neurons)
    others = asked.person[:, None] != asked.person[None, :]
    alike = asked.classes[:, None] == asked.classes[None, :]
    own = [_means(table, others & kind, asked) for kind in (alike, ~alike)]
    same, other, apart = intervals([*own, own[0] - own[1]], seed)
    return None if apart is None else {"same": same, "other": other, "apart": apart}


def _means(table: NDArray[np.float32], wanted: NDArray[np.bool_], asked: Asked) -> Floats:
    """Each person's mean over the wanted pairs with their rows; NaN for none."""
    sums, counts = (np.where(wanted, table, 0).sum(axis=1), wanted.sum(axis=1))
    totals = [np.bincount(asked.person, weights=part, minlength=asked.people) for part in (sums, counts)]
    return np.where(totals[1] > 0, totals[0] / np.maximum(totals[1], 1), np.nan)
