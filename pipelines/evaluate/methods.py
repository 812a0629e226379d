"""Every way to forget by name, with the backbones it applies to. Torch loads only when a method needs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db.errors import LetheError
from db.log import InteractionLog
from pipelines import models
from recsys.candidates import Backbone
from recsys.ease import EaseFitter, EaseSettings
from unlearning.data.base import BackboneUnlearner, Progress, quiet

if TYPE_CHECKING:
    from recsys.recbole_models import TrainSettings


@dataclass(frozen=True, slots=True)
class Fitting:
    """A backbone by name with frozen settings: the plain fit that every method is compared with."""

    backbone: str
    settings: Mapping[str, Any]

    def fit(self, log: InteractionLog, *, seed: int, progress: Progress = quiet) -> Backbone:
        """The model of all rows of `log`."""
        return models.refit(self.backbone, log, dict(self.settings), seed=seed, progress=progress)


Make = Callable[[Fitting], BackboneUnlearner[Any]]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to forget. `make` gives the unlearner for a backbone named in `backbones`."""

    name: str
    backbones: tuple[str, ...]
    make: Make
    plain_fit: bool = True
    """Its `fit` is the plain fit, so that one fitted model serves several methods (each forgets on a copy)."""
    hides: bool = True
    """Readers no longer see the rows. False for "none" alone."""
    equals_refit: tuple[str, ...] = ()
    """Backbones for which its scores must equal those of a refit up to rounding."""


ORACLE, NONE = "oracle", "none"
"""The plain fit on the rows that stay, and no forgetting at all: rows of every table."""

VECTORS = ("lightgcn", "bpr")
ALL = (*VECTORS, "ease", "popularity")


SHARDS = 10
"""Of every method that has some, as in their papers."""


def _fit(fitting: Fitting) -> Callable[[InteractionLog, int], Any]:
    return lambda log, seed: fitting.fit(log, seed=seed)


def _shard_fit(fitting: Fitting) -> Callable[[InteractionLog, int], Any]:
    from unlearning.data.sharding import shard_settings

    return _fit(Fitting(fitting.backbone, shard_settings(fitting.settings, SHARDS)))


def _training(fitting: Fitting) -> "TrainSettings":
    from recsys.recbole_models import TrainSettings

    return TrainSettings(**fitting.settings)


def _none(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.kept import no_forgetting

    return no_forgetting(_fit(fitting))


def _shield(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.kept import shielded

    return shielded(_fit(fitting))


def _retrain(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.retrain import Retrain

    return Retrain(_fit(fitting))


def _downdate(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.downdate import Downdated

    return Downdated(lambda log: EaseFitter(EaseSettings(fitting.settings["regularisation"])).fit(log))


def _sisa(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.sisa import sisa

    return sisa(_shard_fit(fitting), shards=SHARDS)


def _receraser(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.receraser import receraser

    return receraser(_shard_fit(fitting), shards=SHARDS)


def _grapheraser(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.grapheraser import grapheraser

    return grapheraser(_shard_fit(fitting), shards=SHARDS)


def _scif(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.scif import scif

    return scif(_training(fitting))


def _scif_selective(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.scif import scif

    return scif(_training(fitting), collaboration=0.0)


def _ifru(fitting: Fitting) -> BackboneUnlearner[Any]:
    from unlearning.data.ifru import ifru

    return ifru(_training(fitting))


METHODS = {
    known.name: known
    for known in (
        Method(NONE, ALL, _none, hides=False),
        Method("shield", ALL, _shield),
        Method("retrain", ALL, _retrain, equals_refit=("ease", "popularity")),
        Method("downdate", ("ease",), _downdate, equals_refit=("ease",)),
        Method("sisa", VECTORS, _sisa, plain_fit=False),
        Method("receraser", VECTORS, _receraser, plain_fit=False),
        Method("grapheraser", VECTORS, _grapheraser, plain_fit=False),
        Method("scif", VECTORS, _scif),
        Method("scif-selective", VECTORS, _scif_selective),
        Method("ifru", VECTORS, _ifru),
    )
}
"""By name, in the order of the tables."""


def applicable(methods: Mapping[str, Method], name: str, backbone: str) -> bool:
    """Whether a method of this name exists for the backbone. Raises LetheError for an unknown name."""
    if name == ORACLE:
        return True
    if name not in methods:
        raise LetheError(f"method {name!r} is unknown: choose among {', '.join([*methods, ORACLE])}")
    return backbone in methods[name].backbones
