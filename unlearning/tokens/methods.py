"""TRACER, its ablations and what it is compared with, behind one protocol.

TRACER is a reconstruction: its equations come from a secondary source, and what that leaves open is ours and marked so
in `TokenSettings`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from db.errors import LetheError
from recsys.candidates import IntArray
from recsys.semantic_ids.codes import moved
from unlearning.tokens.case import Case, Progress, Retokened, TokenSettings
from unlearning.tokens.learning import Learned, Objective, Plan, Terms, learn, rebuilt
from unlearning.tokens.losses import negative_preference

Reassign = Callable[[Case, np.random.Generator], IntArray]
"""Codes [concept, levels] that do not depend on any training."""


def tracer_loss(terms: Terms, settings: TokenSettings) -> Tensor:
    """L_R + λ1·L_F + λ2·L_Coh, sums over the batch."""
    return terms.retain + settings.forget * terms.forget + settings.coherence * terms.coherence


def without_coherence(terms: Terms, settings: TokenSettings) -> Tensor:
    """L_R + λ1·L_F, which is GradDiff too (Maini et al. 2024)."""
    return terms.retain + settings.forget * terms.forget


def ascent(terms: Terms, settings: TokenSettings) -> Tensor:
    """λ1·L_F alone: gradient ascent on the concept."""
    return settings.forget * terms.forget


def preference(terms: Terms, settings: TokenSettings) -> Tensor:
    """L_R and NPO of the concept's items."""
    return terms.retain + settings.forget * negative_preference(terms.asked, terms.reference, settings.beta).sum()


@dataclass(frozen=True, slots=True)
class Learns:
    """A method that learns by batches. With `reassign` the items move first, and the decoder learns about the rest."""

    name: str
    plan: Plan
    settings: TokenSettings = field(default_factory=TokenSettings)
    reassign: Reassign | None = None

    def forget(self, case: Case, *, seed: int, progress: Progress = lambda done, total: None) -> Retokened:
        """The recommender afterwards."""
        started = time.perf_counter()
        first = case
        if self.reassign is not None:
            codes = self.reassign(case, np.random.default_rng(seed))
            table = moved(case.model.table, case.concept, codes)
            first = replace(case, model=rebuilt(case, case.model.decoder, table))
        made: Learned = learn(first, self.plan, self.settings, seed=seed, progress=progress)
        facts = {**made.facts, "seconds": time.perf_counter() - started}
        return Retokened(rebuilt(case, made.decoder, made.table), facts=facts)


@dataclass(frozen=True, slots=True)
class TrieRemoval:
    """The concept's items leave the trie: nothing is learned, and nothing is unlearned."""

    name: str = "trie-removal"

    def forget(self, case: Case, *, seed: int, progress: Progress = lambda done, total: None) -> Retokened:
        """The same recommender with closed items."""
        progress(1, 1)
        return Retokened(case.model, closed=case.concept)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Codes that the concept uses more than others do become unlikely everywhere, whoever else bears them."""

    name: str = "suppression"
    settings: TokenSettings = field(default_factory=TokenSettings)

    def forget(self, case: Case, *, seed: int, progress: Progress = lambda done, total: None) -> Retokened:
        """The recommender with logits of those tokens lowered."""
        table = case.model.table
        lowered = torch.zeros(table.vocabulary + 1)
        tokens = table.tokens[:, : table.levels]
        own, others = (
            np.bincount(tokens[rows].ravel(), minlength=len(lowered)) / len(rows)
            for rows in (case.concept, case.retained)
        )
        lowered[torch.from_numpy(np.flatnonzero(own > others))] = -self.settings.suppression
        progress(1, 1)
        made = rebuilt(case, case.model.decoder, table).lowered(lowered)
        return Retokened(made, facts={"tokens": float((lowered < 0).sum())})


def random_codes(case: Case, rng: np.random.Generator) -> IntArray:
    """Codes by lot."""
    table = case.model.table
    return rng.integers(0, table.width, size=(len(case.concept), table.levels))


def second_nearest(case: Case, rng: np.random.Generator) -> IntArray:
    """At each level the nearest code but one to the item's residual."""
    order = np.argsort(case.model.tokenizer.distances(case.concept), axis=2, kind="stable")
    return np.asarray(order[:, :, min(1, order.shape[2] - 1)].T, dtype=np.int64)


TRACER = "tracer"

ABLATIONS = ("phi-only", "theta-only", "no-mask", "no-coherence", "random-codes", "nearest-codes", "trie-removal")

BASELINES = ("ga", "grad-diff", "npo", "suppression")

METHODS = (TRACER, *ABLATIONS, *BASELINES)
"""In the order of the tables; the oracle is a training from scratch (`unlearning.tokens.oracle`)."""


def make(name: str, settings: TokenSettings) -> "Learns | TrieRemoval | Suppression":
    """The named method. Raises LetheError for an unknown one."""
    if name == "trie-removal":
        return TrieRemoval()
    if name == "suppression":
        return Suppression(settings=settings)
    offsets, only = Plan(tracer_loss, offsets=True), Plan(tracer_loss)
    plans: dict[str, tuple[Plan, Reassign | None]] = {
        TRACER: (offsets, None),
        "phi-only": (replace(offsets, decoder=False), None),
        "theta-only": (only, None),
        "no-mask": (replace(offsets, masked=False), None),
        "no-coherence": (replace(offsets, objective=without_coherence), None),
        "random-codes": (only, random_codes),
        "nearest-codes": (only, second_nearest),
        "ga": (_by(ascent), None),
        "grad-diff": (_by(without_coherence), None),
        "npo": (_by(preference), None),
    }
    if name not in plans:
        raise LetheError(f"method {name!r} is unknown: choose among {', '.join(METHODS)}")
    plan, reassign = plans[name]
    return Learns(name, plan, settings, reassign)


def _by(objective: Objective) -> Plan:
    return Plan(objective)
