"""The model is kept: shielding where people are served from what stays, the control of no forgetting where not."""

from db.log import InteractionLog
from recsys.candidates import Backbone
from unlearning.data.base import Forgotten, Progress, quiet
from unlearning.data.difference import nothing_gone, rows_gone
from unlearning.data.retrain import Fit


class KeptModel:
    """A `BackboneUnlearner` that leaves the model as it is; `served_from` names the log of the histories to serve."""

    def __init__(self, name: str, fit: Fit, *, served_from: str) -> None:
        self.name = name
        self.served_from = served_from
        self._fit = fit

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> Backbone:
        """The model of all rows."""
        made = self._fit(log, seed)
        progress(1, 1)
        return made

    def forget(
        self, model: Backbone, before: InteractionLog, after: InteractionLog, *, seed: int, progress: Progress = quiet
    ) -> Forgotten[Backbone]:
        """The model as it is, never called exact where rows go."""
        gone = rows_gone(before, after)
        if gone == 0:
            return nothing_gone(model)
        return Forgotten(model, exact=False, facts={"rows": gone, "served_from": self.served_from})


def no_forgetting(fit: Fit) -> KeptModel:
    """The control of every comparison, which has to fail wherever completeness is measured."""
    return KeptModel("none", fit, served_from="before")


def shielded(fit: Fit) -> KeptModel:
    """Shielding seen from the backbone: nothing is retrained, and vectors are folded in from the rows that stay."""
    return KeptModel("shield", fit, served_from="after")
