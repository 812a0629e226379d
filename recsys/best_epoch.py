"""What an early-stopped training gives: the state of its best epoch, and the way there."""

from dataclasses import dataclass, field

from db.errors import LetheError
from recsys.vectors import ItemVectors


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted backbone, the epoch its state was taken from, and NDCG@10 on validation by epoch."""

    backbone: ItemVectors
    epoch: int
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class BestEpoch:
    """Keeps the best of the states it is offered."""

    patience: int
    curve: list[tuple[int, float]] = field(default_factory=list)
    epoch: int = 0
    value: float = -1.0
    backbone: ItemVectors | None = None
    waited: int = 0

    def offer(self, epoch: int, value: float, backbone: ItemVectors) -> None:
        """Keep this state if it is the best so far."""
        self.curve.append((epoch, value))
        self.waited += 1
        if value > self.value:
            self.epoch, self.value, self.backbone, self.waited = epoch, value, backbone, 0

    @property
    def stale(self) -> bool:
        """Whether the value has not risen for `patience` evaluations."""
        return self.waited >= self.patience

    def trained(self) -> Trained:
        """The best state. Raises LetheError when no evaluation gave a number."""
        if self.backbone is None:
            raise LetheError("training ended without an evaluated epoch: validation values were not numbers")
        return Trained(self.backbone, self.epoch, tuple(self.curve))
