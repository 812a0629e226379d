"""Forgetting by influence: one damped Newton step on part of the rows. What SCIF and IFRU share.

No row of a person is stored. The user rows that the loss needs are found again from the histories before, with the item
rows as they are (docs/decisions/0010-influence-without-stored-user-rows.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from db.log import InteractionLog
from recsys.candidates import FloatArray, IntArray
from recsys.vectors import ItemVectors, fold_map, folded, found_map
from unlearning.data.base import Forgotten, Progress, quiet
from unlearning.data.conjugate import Array, Solution, conjugate_gradient
from unlearning.data.difference import nothing_gone, rows_gone
from unlearning.data.newton import Slice, minimise
from unlearning.data.pairwise import PairwiseLoss, Propagation, Spread, Triples, draw, same, stays
from unlearning.data.remaining import remaining

if TYPE_CHECKING:
    from recsys.recbole_models import TrainSettings

STAGES = 3
"""User rows found, step solved, model made."""

FOUND = 1e-2
"""What may be left of the gradient of the user rows that are found again."""


@dataclass(frozen=True, slots=True)
class InfluenceSettings:
    """How the step is taken. Loss and gradient are sums over triples, so `ridge` and `damping` are in that unit."""

    ridge: float = 3.0
    """Pull of the user rows to where the fold-in puts them, and curvature of the loss in every row."""
    damping: float = 1.0
    """Added to the diagonal of the matrix that is solved with."""
    curvature: str = "gauss-newton"
    """Or "hessian", which has negative eigenvalues wherever training stopped short of a minimum."""
    negatives: int = 10
    """Items not met that are drawn for each pair, once: the same for before and after."""
    tolerance: float = 1e-2
    """Of the residual, relative to the right side."""
    iterations: int = 200
    """Most products in one solve."""

    def __post_init__(self) -> None:
        if self.curvature not in ("gauss-newton", "hessian"):
            raise LetheError(f"curvature {self.curvature!r} is unknown: choose gauss-newton or hessian")
        if not (self.ridge > 0 and self.damping >= 0 and 0 < self.tolerance < 1):
            raise LetheError(f"{self} cannot be solved with: ridge above 0, damping from 0, tolerance between 0 and 1")
        if min(self.negatives, self.iterations) < 1:
            raise LetheError(f"{self} cannot be solved with: negatives and iterations must be at least 1")


@dataclass(frozen=True, slots=True)
class Case:
    """What a method may look at: both logs, the triples of `before`, which of them stay, and both maps to vectors."""

    before: InteractionLog
    after: InteractionLog
    triples: Triples
    kept: NDArray[np.bool_]
    old: Spread
    new: Spread
    ridge: float
    seed: int = 0

    @property
    def users(self) -> int:
        """User rows; item row i is node users + i."""
        return len(self.before.users)

    @property
    def nodes(self) -> int:
        """Users and items."""
        return len(self.before.users) + len(self.before.items)

    def loss(self, triples: Triples, spread: Spread, centre: Array | None = None) -> PairwiseLoss:
        """The loss of these triples under one of the maps."""
        return PairwiseLoss(triples, self.users, spread, self.ridge, centre)

    def remaining(self) -> Triples:
        """The triples that a training on `after` would see."""
        return remaining(self.triples, self.kept, items=len(self.before.items), seed=self.seed)

    def endpoints(self) -> IntArray:
        """The nodes of the forgotten pairs, users and items, once for each pair."""
        user, item = self.triples.user[~self.kept], self.triples.item[~self.kept]
        pairs = np.unique(user * self.nodes + self.users + item)
        return np.concatenate(np.divmod(pairs, self.nodes))


@dataclass(frozen=True, slots=True)
class Change:
    """What a method makes of a case: the loss that was trained, the one that should have been, and the rows to move."""

    was: PairwiseLoss
    now: PairwiseLoss
    rows: Slice
    facts: Mapping[str, int | float | str]


Scheme = Callable[[Case], Change]

Fit = Callable[[InteractionLog, int, Progress], ItemVectors]
"""Fits a model on a log with a seed."""


def newton_step(change: Change, theta: Array, settings: InfluenceSettings) -> Solution:
    """The move of `change.rows`: (curvature of `now` + damping)⁻¹ (gradient of `was` − gradient of `now`), [rows, d].

    At a minimum of `was` this is Newton's step on `now`. Away from one, where every early stopped training is, the part
    of the gradient that training had left over cancels, so that what is forgotten moves the rows and nothing else does
    (Bae et al. 2022). Raises LetheError when the residual did not fall.
    """
    point = change.now.at(theta)
    force = change.rows.narrow(change.was.at(theta).gradient() - point.gradient())
    found = conjugate_gradient(
        change.rows.restrict(partial(point.product, exact=settings.curvature == "hessian")),
        force,
        damping=settings.damping,
        tolerance=settings.tolerance,
        iterations=settings.iterations,
    )
    found.demand_progress(f"raise the damping above {settings.damping:g}, or the iterations above {found.iterations}")
    return found


class InfluenceUnlearner:
    """A `BackboneUnlearner` over any fit of BPR (`layers` 0) or LightGCN that forgets as `scheme` says. Never exact."""

    def __init__(self, name: str, fit: Fit, layers: int, scheme: Scheme, settings: InfluenceSettings) -> None:
        self.name = name
        self._fit = fit
        self._layers = layers
        self._scheme = scheme
        self._settings = settings

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> ItemVectors:
        """The model of all rows of `log`, of a graph with its item rows of layer 0."""
        return self._fit(log, seed, progress)

    def forget(
        self,
        model: ItemVectors,
        before: InteractionLog,
        after: InteractionLog,
        *,
        seed: int,
        progress: Progress = quiet,
    ) -> Forgotten[ItemVectors]:
        """A new model after one step; the very model that was given when no pair of it goes.

        `seed` draws the negatives. Raises LetheError where nothing stays, where a graph model lacks its rows of layer
        0, and where the solver made no progress.
        """
        gone = rows_gone(before, after)
        if gone == 0:
            return nothing_gone(model)
        self._check(model, before, after)
        triples = draw(before, negatives=self._settings.negatives, seed=seed)
        kept = stays(triples, after)
        if kept.all():
            return Forgotten(model, exact=False, facts={"rows": gone, "forgotten_pairs": 0})
        case = Case(before, after, triples, kept, self._spread(before), self._spread(after), self._settings.ridge, seed)
        theta, left = restore(model, case)
        progress(1, STAGES)
        change = self._scheme(case)
        found = newton_step(change, theta, self._settings)
        progress(2, STAGES)
        made = serve(model, case, theta, change.rows.widen(found.x))
        progress(STAGES, STAGES)
        facts = {
            "rows": gone,
            "forgotten_pairs": len(case.endpoints()) // 2,
            "touched_rows": len(change.rows.rows),
            "touched_parameters": found.x.size,
            "damping": self._settings.damping,
            "cg_iterations": found.iterations,
            "cg_residual": found.residual,
            "cg_converged": "yes" if found.converged else "no",
            "step_norm": float(np.linalg.norm(found.x)),
            "user_rows_gradient": left,
        }
        return Forgotten(made, exact=False, facts={**facts, **change.facts})

    def _check(self, model: ItemVectors, before: InteractionLog, after: InteractionLog) -> None:
        if model.items != before.items:
            raise ValueError("the model has other items than the log: forget from the model of these rows")
        if self._layers and model.ego_vectors is None:
            raise LetheError(f"this {model.name} lacks its rows of layer 0: train it again, then use {self.name}")
        if len(after) == 0:
            raise LetheError("no interaction stays: there is nothing to keep a model of")

    def _spread(self, log: InteractionLog) -> Spread:
        return Propagation(log, self._layers) if self._layers else same


def of_recbole(
    name: str, training: "TrainSettings", scheme: Scheme, settings: InfluenceSettings | None, device: str
) -> InfluenceUnlearner:
    """The unlearner over RecBole's training."""

    def _fit(log: InteractionLog, seed: int, progress: Progress) -> ItemVectors:
        from recsys.recbole_models import RecBoleFitter

        return RecBoleFitter(training, device=device).fit(log, seed=seed, progress=progress).backbone

    layers = training.layers if training.model == "lightgcn" else 0
    return InfluenceUnlearner(name, _fit, layers, scheme, settings or InfluenceSettings())


def restore(model: ItemVectors, case: Case) -> tuple[Array, float]:
    """Rows of layer 0 [nodes, d] at the trained items, and how much of the users' gradient is left.

    Users start where the model folds them in, by the rows of layer 0 that propagate to it, and move down the loss of
    `before` with a ridge to that start. For BPR this is convex: each user's row is the only minimum.
    """
    items = model.item_vectors if model.ego_vectors is None else model.ego_vectors
    people = Slice(np.arange(case.users), case.nodes)
    theta = np.concatenate([np.zeros((case.users, items.shape[1])), items.astype(np.float64)])
    gap = model.user_vectors(case.before.histories()) - people.narrow(case.old(theta))
    start = conjugate_gradient(people.restrict(case.old), gap, damping=0, tolerance=1e-6, iterations=100).x
    theta = theta + people.widen(start)
    return minimise(case.loss(case.triples, case.old, theta), theta, people, tolerance=FOUND)


def serve(model: ItemVectors, case: Case, theta: Array, move: Array) -> ItemVectors:
    """The model of the rows theta + move of layer 0: vectors on the survivors' graph, fold vectors from survivors.

    The map of the fold-in changes by the difference of two, fitted to the moved rows and the survivors and to the rows
    and the log before: user rows found again are not those that were trained, and a map fitted to them alone would
    change what people are offered though nothing moved.
    """
    was_users, was_items = _rows(case, case.old(theta))
    users, items = _rows(case, case.new(theta + move))
    change = fold_map(case.after, users, items) - fold_map(case.before, was_users, was_items)
    ego = None if model.ego_vectors is None else (theta + move)[case.users :].astype(np.float32)
    return ItemVectors(model.name, model.items, items, folded(case.after, items, found_map(model) + change), ego)


def _rows(case: Case, vectors: Array) -> tuple[FloatArray, FloatArray]:
    users, items = np.split(vectors.astype(np.float32), [case.users])
    return users, items
