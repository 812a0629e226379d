"""The arms: what each way to forget does to the search, the backbone and the language model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from db.errors import LetheError
from unlearning.concept.settings import ADAPTER, LOSS

PROMPT = "prompt"
"""The method that fits nothing: no seed changes it."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to forget; what is left out stays as it was."""

    name: str
    hides: bool = False
    """The items are excluded inside the search, and are no history."""
    erases: bool = False
    """The backbone is fitted without the rows that are forgotten, and no history holds them."""
    absent: bool = False
    """The catalogue never held the items."""
    fork: bool = False
    """The language model is the checkpoint that was trained without the concept."""
    method: str = ""
    """Of `unlearning.concept`, applied to the language model."""

    def read(self, fields: Sequence[str]) -> "Arm":
        """The arm as a surface sees it that reads these fields alone: arms that differ elsewhere are one to it."""
        return Arm("", **{name: value for name, value in asdict(self).items() if name in fields})

    @property
    def fitted(self) -> bool:
        """Whether its language model is trained with a seed."""
        return self.method not in ("", PROMPT)


NONE, FILTER, ORACLE = "none", "retrieval filter", "oracle"
BOTH, ERASURE = "both", "erasure at the backbone"

_ARMS = (
    Arm(NONE),
    Arm(FILTER, hides=True),
    Arm("adapter", method=ADAPTER),
    Arm(BOTH, hides=True, method=ADAPTER),
    Arm(ERASURE, erases=True),
    Arm("random-mask adapter", method=f"{LOSS.value}-random"),
    Arm("full LoRA", method=f"{LOSS.value}-none"),
    Arm("prompt only", method=PROMPT),
    Arm(ORACLE, hides=True, erases=True, absent=True, fork=True),
)

ARMS = tuple(arm.name for arm in _ARMS)
"""In the order of the tables."""

TOKENS = Arm("tokens")
"""Ids of the generative recommender move, by TRACER; all else stays as it was. It is no part of a cell's key."""

TRAIN = "lethe train --backbone semantic-ids"
"""Makes what that arm needs."""


def arms(names: Sequence[str] = (), *, method: str = ADAPTER) -> tuple[Arm, ...]:
    """The named arms (all, if none is named), none and the oracle always among them; adapters share one loss.

    Raises LetheError for an unknown name, and for a method that is no guided adapter.
    """
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        raise LetheError(f"arm {unknown[0]!r} is unknown: choose among {', '.join((*ARMS, TOKENS.name))}")
    loss, _, mask = method.rpartition("-")
    if mask != "guided" or not loss:
        raise LetheError(f"--method {method} is no guided adapter: give LOSS-guided, as in {ADAPTER}")
    own = [replace(arm, method=arm.method.replace(f"{LOSS.value}-", f"{loss}-")) for arm in _ARMS]
    return tuple(arm for arm in own if not names or arm.name in (*names, NONE, ORACLE))
