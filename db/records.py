"""The facts the product speaks of. Standard library only: every layer may import this."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NewType

UserId = NewType("UserId", str)
"""A person's id as the outside world writes it; never a matrix row."""

ItemId = NewType("ItemId", str)
"""An item's id as the outside world writes it; never a matrix row."""

RequestId = NewType("RequestId", str)

ConceptId = NewType("ConceptId", str)
"""Of a request to forget a concept."""


class Split(StrEnum):
    """Part of the data a row belongs to; assigned once, at ingest."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


class State(StrEnum):
    """How far a forget request has come (see docs/decisions/0003)."""

    ACCEPTED = "accepted"
    SHIELDED = "shielded"
    REDUCED = "reduced"
    ERASED = "erased"


class ConceptState(StrEnum):
    """How far a request to forget a concept has come."""

    ACCEPTED = "accepted"
    """Written down; it rests here only where a model alone is to forget."""
    HIDDEN = "hidden"
    """Retrieval offers none of its items, and no prompt names one."""
    UNLEARNED = "unlearned"
    """Beside that, what passed its gates acts: an adapter on the language model, or other ids of its items."""


class Layer(StrEnum):
    """Where a concept is to be forgotten."""

    RETRIEVAL = "retrieval"
    MODEL = "model"
    BOTH = "both"
    """Retrieval and the language model."""
    TOKENS = "tokens"
    """The generative recommender alone: its ids move. No other layer joins it under one name."""

    def __or__(self, other: "Layer") -> "Layer":
        """Everything that either names; raises ValueError for tokens beside another layer."""
        if self is other:
            return self
        if Layer.TOKENS in (self, other):
            raise ValueError("tokens are forgotten under a name of their own")
        return Layer.BOTH


class Scope(StrEnum):
    """Which rows an artefact descends from."""

    NONE = "none"
    ALL = "all"
    SHARD = "shard"
    USER = "user"


class Mode(StrEnum):
    """Whether an artefact was fitted on every visible row or on the training split only."""

    SERVING = "serving"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be recommended. A year or a genre may be unknown."""

    id: ItemId
    title: str
    year: int | None = None
    genres: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One person's contact with one item; the timestamp is in unix seconds."""

    user: UserId
    item: ItemId
    rating: float | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a person's rows a request names. No condition at all means the whole person."""

    items: tuple[ItemId, ...] = ()
    categories: tuple[str, ...] = ()
    before: datetime | None = None

    @property
    def whole_user(self) -> bool:
        """True when every row of the person is meant, and the person too."""
        return not (self.items or self.categories or self.before)


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """A request to forget, as it stands in the store. `user` is None once the rows are purged."""

    id: RequestId
    user: UserId | None
    selection: Selection
    state: State
    epoch: int
    """The data epoch that this request began: artefacts built before it may hold the rows."""
    rows: int
    accepted_at: datetime
    deadline: datetime

    @property
    def reduced(self) -> bool:
        """True when an approximate method was the last that worked on it."""
        return self.state is State.REDUCED


@dataclass(frozen=True, slots=True)
class ConceptRequest:
    """A request to forget a concept, as it stands in the store: for everybody, or for one person's requests only."""

    id: ConceptId
    name: str
    kind: str
    """What the name was found to be: a title, franchise, genre, list of items or phrase."""
    items: tuple[ItemId, ...]
    layer: Layer
    state: ConceptState
    accepted_at: datetime
    user: UserId | None = None
    adapter: int | None = None
    """The key of the artefact that acts: an adapter, or a recommender with other ids."""
    detail: str = ""
    """What the last training came to."""

    @property
    def hides(self) -> bool:
        """Whether retrieval and prompts leave its items out."""
        return self.layer in (Layer.RETRIEVAL, Layer.BOTH)

    @property
    def open(self) -> bool:
        """Whether the language model, or the generative recommender, is still to forget it."""
        return self.layer is not Layer.RETRIEVAL and self.state is not ConceptState.UNLEARNED


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one layer did for a request."""

    request: RequestId
    layer: str
    action: str
    artifact: str
    exact: bool
    seconds: float
    detail: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one audit. Without a working positive control it is void, never passed."""

    audit: str
    value: float
    limit: float
    control: float | None = None
    """The same measure on a planted positive; None when the control could not be run."""
    control_found: bool = False
    oracle: float | None = None
    detail: str = ""

    @property
    def void(self) -> bool:
        """True when the positive control was not found, so that the value says nothing."""
        return not self.control_found

    @property
    def passed(self) -> bool:
        """True when the control worked and the value is within the limit."""
        return not self.void and self.value <= self.limit
