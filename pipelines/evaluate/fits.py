"""Plain fits of one run: methods that start from the same fitted model share it, each on a copy of its own."""

import copy
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from db.log import InteractionLog
from pipelines.evaluate.cost import Cost, measured
from pipelines.evaluate.methods import Fitting, Method
from pipelines.evaluate.settings import seed_of
from unlearning.data.base import BackboneUnlearner, Progress

KEPT = 4
"""Models held at a time."""


@dataclass(slots=True)
class Fits:
    """Fitted models by backbone and seed. The training rows are those of one split, the same for every protocol."""

    held: OrderedDict[tuple[str, int], tuple[Any, Cost]] = field(default_factory=OrderedDict)

    def fitted(
        self, method: Method, fitting: Fitting, log: InteractionLog, *, seed: int, progress: Progress
    ) -> tuple[BackboneUnlearner[Any], Any, Cost]:
        """The unlearner, its model of all rows of `log`, and what the fit cost when it was made in this run."""
        unlearner = method.make(fitting)
        if not method.plain_fit:
            with measured() as cost:
                model = unlearner.fit(log, seed=seed_of("fit", fitting.backbone, method.name, seed), progress=progress)
            return unlearner, model, cost
        model, cost = self._plain(unlearner, (fitting.backbone, seed), log, progress)
        return unlearner, copy.deepcopy(model), cost

    def _plain(
        self, unlearner: BackboneUnlearner[Any], key: tuple[str, int], log: InteractionLog, progress: Progress
    ) -> tuple[Any, Cost]:
        if key not in self.held:
            with measured() as cost:
                model = unlearner.fit(log, seed=seed_of("fit", *key), progress=progress)
            self.held[key] = (model, cost)
            while len(self.held) > KEPT:
                self.held.popitem(last=False)
        return self.held[key]
