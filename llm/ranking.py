"""The list a person gets, and where each decision came from. Standard library only."""

from dataclasses import dataclass
from enum import StrEnum

from db.records import ItemId, UserId


class Origin(StrEnum):
    """Who decided the order of a list."""

    FUSED = "fused"
    MODEL = "model"
    BACKBONE = "backbone"
    FALLBACK = "fallback"
    """The model was asked and gave no usable order; the backbone's stands. Always counted."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of the given candidates: a permutation, checked once here."""

    user: UserId
    items: tuple[ItemId, ...]
    scores: tuple[float, ...]
    origin: Origin

    def __post_init__(self) -> None:
        if len(self.items) != len(self.scores):
            raise ValueError(f"{len(self.items)} items but {len(self.scores)} scores")
        if len(set(self.items)) != len(self.items):
            raise ValueError("a ranking names an item twice")
