"""What a cell of this evaluation is: everything that determines its result, and the key made of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipelines.evaluate.key import key_of
from unlearning.concept.settings import FEW, OF_MANY, ConceptSettings, LossName

HARNESS = 1
"""Grows when cells are measured otherwise: older ones are not found any more."""

FITTED_ANEW: Mapping[str, int] = {LossName.RESISTED_ASCENT.value: 6}
"""By loss, grows when its fits change while its settings do not."""

SPARING = "sparing"
"""Beside the settings of a cell, where its fit spares what stays as one of many items does: `told_of`."""

BASE, REPLICATE, ORACLE = "base", "replicate", "oracle"
"""The model that forgot nothing, another training on the same data, and one without the concept."""
FORKS = (BASE, REPLICATE, ORACLE)
"""Checkpoints as they are: nothing was forgotten in them."""


class Part(StrEnum):
    """What a cell holds of one model."""

    FITTED = "fitted"
    """The adapter itself, where the method makes one that can be stored."""
    EXAMINED = "examined"
    """Answers to every question."""
    ATTACKED = "attacked"
    DEEP = "deep"
    """Which layers still carry the concept, beside the oracle."""
    UNMET = "unmet-titles"
    """The base's forced choices where titles that do not exist stand in the place of the concept's."""
    RANKED = "ranked"
    """Lists of real people."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One part of what is measured of one method with one seed on one concept."""

    part: Part
    model: str
    """Fingerprint of the base."""
    concept: str
    """Its name as part of a file name."""
    subject: str
    """Digest of what is taught and asked."""
    method: str
    settings: Mapping[str, Any]
    """By name, with what `told_of` adds."""
    seed: int = 0
    """Of an oracle: its place among those of the concept; of a replicate among these."""
    other: str = ""
    """What else the part reads: fingerprint of the oracle or replicate (of an oracle's own depth: its own, then that of
    the one beside it), digest of real people's lists, budget of an attack."""

    @property
    def label(self) -> str:
        """The method as tables name it, with the size of its mask."""
        return label(self.method, self.settings)

    @property
    def beside(self) -> str:
        """Fingerprint of the oracle that a depth is measured beside; empty for other parts."""
        return self.other.split()[-1] if self.part is Part.DEEP else ""

    @property
    def key(self) -> str:
        """64 hexadecimal digits over everything above and the version of the code."""
        return key_of(self, HARNESS + fitted_anew(self.method))

    @property
    def name(self) -> str:
        """What the cell is kept as."""
        return f"concept-{self.concept}-{self.method}-{self.seed}-{self.part.value}-{self.key[:12]}"


def fitted_anew(method: str) -> int:
    """How often a method's fits have changed while its settings did not: added to the harness in keys of its cells."""
    return FITTED_ANEW.get(method.rpartition("-")[0], 0)


def told_of(settings: ConceptSettings, method: str, items: int) -> dict[str, Any]:
    """What a cell tells of a fit's settings: these, and how a fit of many items spares what stays, where it does.

    >>> told_of(ConceptSettings(), "resisted_ascent-guided", 24)["sparing"]["dropout"]
    0.3
    >>> "sparing" in told_of(ConceptSettings(), "resisted_ascent-guided", 8)
    False
    """
    many = method.rpartition("-")[0] == LossName.RESISTED_ASCENT.value and items > FEW
    return {**asdict(settings), **({SPARING: asdict(OF_MANY)} if many else {})}


def fit_settings(told: Mapping[str, Any]) -> ConceptSettings:
    """The settings of a cell's fit, of what `told_of` says of them."""
    return ConceptSettings(**{name: value for name, value in told.items() if name != SPARING})


def label(method: str, settings: Mapping[str, Any]) -> str:
    """A method's name with the size of its mask, where it has one of a chosen size.

    >>> label("npo-guided", {"neurons": 64}), label("npo-none", {"neurons": 64}), label("ssd", {})
    ('npo-guided/64', 'npo-none', 'ssd')
    """
    return f"{method}/{settings['neurons']}" if sized(method) and settings else method


def sized(method: str) -> bool:
    """Whether the settings' number of neurons means anything to a method.

    >>> [sized(name) for name in ("refusal-guided", "ablation", "refusal-none", "ssd")]
    [True, True, False, False]
    """
    return method.startswith("ablation") or ("-" in method and not method.endswith("-none"))


def drawn(method: str) -> bool:
    """Whether a method's mask is drawn at random: it is then tried with more seeds."""
    return method.endswith(("-random", "-layered"))
