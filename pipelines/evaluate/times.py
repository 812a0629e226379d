"""What forgetting cost: from request to shielded and to erased, beside retraining in the same run."""

from dataclasses import dataclass

import numpy as np

from pipelines.evaluate.cells import Cell
from pipelines.evaluate.methods import NONE, ORACLE
from pipelines.evaluate.panel import Panel


@dataclass(frozen=True, slots=True)
class Times:
    """Means over seeds, in seconds of one process; None where it does not apply.

    `shielded` is the time in which the rows are left out of what readers see, in memory; `erased` adds the method's own
    work and is known for exact methods alone. `ratio` is the method's work over as many retrainings as there were
    requests; it is taken within one run where that is possible, and `same_run` says so. `cpu_ratio` is the same in
    seconds of the processor, which other work on the machine disturbs less.
    """

    fit: float
    shielded: float | None
    work: float | None
    erased: float | None
    per_request: float | None
    retrain: float | None
    ratio: float | None
    cpu_ratio: float | None
    same_run: bool
    peak_mb: float
    rerank_a_person: float | None


def times(panel: Panel, method: str) -> Times:
    """The costs of a method's cells."""
    cells = panel.of(method)
    fit = float(np.mean([c.facts["fit"]["seconds"] for c in cells]))
    shown = {"rerank_a_person": _rerank(cells)}
    if method in (ORACLE, NONE):
        peak = max(c.facts["fit"]["peak_mb"] for c in cells)
        retrain = fit if method == ORACLE else None
        return Times(fit, None, None, None, None, retrain, None, None, same_run=True, peak_mb=peak, **shown)
    hide = float(np.mean([sum(c.facts["hide_seconds"]) for c in cells]))
    work = float(np.mean([sum(c.facts["forget_seconds"]) for c in cells]))
    each = float(np.median([seconds for c in cells for seconds in c.facts["forget_seconds"]]))
    cpu = float(np.mean([sum(c.facts["forget_cpu_seconds"]) for c in cells]))
    runs = {c.run for c in cells}
    retrain, same = _retrain(panel, runs, "seconds")
    retrain_cpu, _ = _retrain(panel, runs, "cpu_seconds")
    requests = len(cells[0].facts["forget_seconds"])
    return Times(
        fit=fit,
        shielded=hide,
        work=work,
        erased=hide + work if all(c.facts["exact"] for c in cells) else None,
        per_request=each,
        retrain=retrain,
        ratio=work / (retrain * requests) if retrain else None,
        cpu_ratio=cpu / (retrain_cpu * requests) if retrain_cpu else None,
        same_run=same,
        peak_mb=max(c.facts["forget_peak_mb"] for c in cells),
        **shown,
    )


def _retrain(panel: Panel, runs: set[str], unit: str) -> tuple[float | None, bool]:
    """Cost of a retraining: of the same runs where the oracle was measured there, else of any run."""
    oracles = panel.of(ORACLE)
    same = [c.facts["fit"][unit] for c in oracles if c.run in runs]
    known = same or [c.facts["fit"][unit] for c in oracles]
    return (float(np.mean(known)) if known else None), bool(same)


def _rerank(cells: list[Cell]) -> float | None:
    known = [c.facts["rerank"]["seconds"] / max(1, c.facts["rerank"]["people"]) for c in cells if "rerank" in c.facts]
    return float(np.mean(known)) if known else None
