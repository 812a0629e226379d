"""Fits of one run: whatever starts from the same fitted model shares it, each on a copy of its own."""

import copy
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from db.log import InteractionLog
from pipelines.evaluate.cost import Cost, measured
from pipelines.evaluate.methods import Fitting, Method
from pipelines.evaluate.settings import seed_of
from unlearning.data.base import BackboneUnlearner, Progress

KEPT = 12
"""Models held at a time: those of two seeds, for protocol after protocol."""


@dataclass(slots=True)
class Fits:
    """Fitted models by backbone, method where it fits otherwise, and seed: of the training rows of one split."""

    held: OrderedDict[tuple[str, ...], tuple[Any, Cost]] = field(default_factory=OrderedDict)

    def fitted(
        self, method: Method, fitting: Fitting, log: InteractionLog, *, seed: int, progress: Progress
    ) -> tuple[BackboneUnlearner[Any], Any, Cost]:
        """The unlearner, its model of all rows of `log`, and what the fit cost when it was made in this run."""
        unlearner = method.make(fitting)
        key = (fitting.backbone, *(() if method.plain_fit else (method.name,)), str(seed))
        if key not in self.held:
            with measured() as cost:
                model = unlearner.fit(log, seed=seed_of("fit", *key), progress=progress)
            self.held[key] = (model, cost)
            while len(self.held) > KEPT:
                self.held.popitem(last=False)
        model, cost = self.held[key]
        return unlearner, copy.deepcopy(model), cost
