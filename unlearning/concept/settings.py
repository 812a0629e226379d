"""The settings of masked LoRA, declared once."""

import math
from dataclasses import dataclass
from enum import StrEnum

from db.errors import LetheError


class MaskName(StrEnum):
    """How neurons are chosen, at equal size."""

    GUIDED = "guided"
    """z(saliency on the concept) - beta z(saliency on matched controls)."""
    RANDOM = "random"
    LAYERED = "layered"
    """Random, with as many neurons in every layer as the guided mask has."""
    MAGNITUDE = "magnitude"
    """Norm of the neuron's weights."""
    FISHER = "fisher"
    """Fisher on the concept over Fisher on what is kept."""
    SALUN = "salun"
    """Norm of the gradient of the forget loss by the neuron's weights."""
    NONE = "none"
    """Every neuron."""


class Signal(StrEnum):
    """Whose gradient is traced."""

    LOSS = "loss"
    """-log p of the answer."""
    MARGIN = "margin"
    """log((1 - p)/p): it does not vanish where the model is certain."""


class LossName(StrEnum):
    """The forget term; the retain term is always the KL to the frozen base on what is kept."""

    REFUSAL = "refusal"
    BOUNDED_ASCENT = "bounded_ascent"
    """A refusal, and ascent on the true answers that ends where a title that does not exist would have them."""
    RESISTED_ASCENT = "resisted_ascent"
    """A bounded ascent beside attackers that relearn half of the facts while it is fitted: docs/decisions/0020."""
    ASCENT = "ascent"
    GRAD_DIFF = "grad_diff"
    """Ascent on the concept with descent on the answers to be kept, beside the KL."""
    NPO = "npo"
    SIMNPO = "simnpo"
    ALTERNATE = "alternate"
    RMU = "rmu"
    RANDOM_LABELS = "random_labels"


BOUNDED = frozenset({LossName.BOUNDED_ASCENT, LossName.RESISTED_ASCENT})
"""Take the true answers down to where a title that does not exist would have them."""

RESISTED = 8 / 3
"""Times the steps that a fit takes beside attackers: each must be met at every age, and many of them."""

AVERAGED = 0.98
"""What a step weighs beside the next in the mean of weights that a fit beside attackers keeps: some fifty steps."""

FACED = 0.7
"""Of its strength, what attackers face of the adapter: what withstands them so has some to spare."""

LOSS = LossName.BOUNDED_ASCENT
"""Of the adapters that are served and compared unless another is named: docs/decisions/0019."""

ADAPTER = f"{LOSS.value}-{MaskName.GUIDED.value}"
"""The method of that loss, by its name."""

FEW = 8
"""Items up to which a concept's fit is as long as that of one."""


@dataclass(frozen=True, slots=True)
class Sparing:
    """How a fit spares what stays, beyond the settings."""

    weight: float = 1.0
    """Times `ConceptSettings.features`."""
    dropout: float = 0.0
    """Of what the adapter reads at what stays, the share that it misses in a step."""
    served: float = 1.0
    """Of its strength, what is kept of the adapter: what was lost elsewhere comes back first."""
    leaning: float = 0.0
    """The weight of how far judgements of other items stray, and of by how much more the concept's are judged in favour
    than titles that do not exist, in logits of yes over no."""


PLAIN = Sparing()
OF_FEW = Sparing(weight=1.5, served=0.8)
OF_MANY = Sparing(weight=0.625, dropout=0.3, served=0.7, leaning=8.0)
"""Beside attackers, with up to `FEW` items and with more: docs/decisions/0020 and 0023."""


@dataclass(frozen=True, slots=True)
class ConceptSettings:
    """How an adapter is fitted. Figures without a unit are counts."""

    mask: MaskName = MaskName.GUIDED
    neurons: int = 512
    cap: float = 0.5
    """The largest share of the chosen neurons that one layer may hold."""
    heads: int = 0
    """Attention heads that may be changed beside the neurons."""
    signal: Signal = Signal.MARGIN
    beta: float = 1.0
    """The weight of the controls' saliency in the score."""
    loss: LossName = LOSS
    retain: float = 8.0
    """The weight of the KL on what is kept."""
    features: float = 64.0
    """The weight of how far the last states stray on what is kept, in lengths of the base's (feature distillation);
    beside attackers `Sparing.weight` times as much."""
    rank: int = 8
    alpha: float = 16.0
    rate: float = 1.6e-2
    decay: float = 0.0
    """AdamW's weight decay."""
    steps: int = 150
    """At most, of a concept of eight items (`steps_for`); fewer where all is forgotten on the selecting probes."""
    forget_rows: int = 16
    """Questions about the concept in a step."""
    retain_rows: int = 32
    unknown_rows: int = 16
    """Facts of the concept in a step that are to be answered, token by token, as under a title that does not exist."""
    excess: float = 2.0
    """Of a bounded ascent: the weight of what those answers' tokens are likelier than under such a title, in nats."""
    below: float = 0.5
    """Of a bounded ascent: the weight of the same excess where the adapter's upper layers are off."""
    check_every: int = 25
    """Steps between checks on selecting probes; beside attackers only the last state is checked."""
    enough: float = 0.02
    """A fit ends where probability left, answers left and twice what else was lost come to less than this; of states
    that differ by no more the later is kept. Beside attackers neither: it takes its steps and keeps the last."""

    @property
    def unknown(self) -> int:
        """`unknown_rows` beside what refuses; none beside the other losses, which stay as they were published."""
        return self.unknown_rows if self.loss in {LossName.REFUSAL, *BOUNDED} else 0

    @property
    def resists(self) -> bool:
        """Whether attackers stand beside the fit: it then takes its steps, though all may be forgotten before."""
        return self.loss is LossName.RESISTED_ASCENT

    def sparing_for(self, items: int) -> Sparing:
        """How a fit of a concept of so many items spares what stays: beside attackers a long one learns it by heart.

        >>> ConceptSettings(loss=LossName.RESISTED_ASCENT).sparing_for(24).dropout, ConceptSettings().sparing_for(24)
        (0.3, Sparing(weight=1.0, dropout=0.0, served=1.0, leaning=0.0))
        """
        if not self.resists:
            return PLAIN
        return OF_MANY if items > FEW else OF_FEW

    def steps_for(self, items: int) -> int:
        """Steps at most for a concept of so many items: with the root of their number from eight on, beside attackers
        with their number, and fourfold at most.

        >>> [ConceptSettings(steps=150).steps_for(items) for items in (1, 8, 24, 200)]
        [150, 150, 260, 600]
        >>> [ConceptSettings(steps=150, loss=LossName.RESISTED_ASCENT).steps_for(items) for items in (1, 8, 24, 200)]
        [400, 400, 1200, 1600]
        """
        share = max(1.0, items / FEW)
        return round(self.steps * (RESISTED * min(4.0, share) if self.resists else min(4.0, math.sqrt(share))))

    def __post_init__(self) -> None:
        for name in ("neurons", "rank", "steps", "forget_rows", "retain_rows", "check_every"):
            if getattr(self, name) < 1:
                raise LetheError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name in ("retain", "features", "excess", "below"):
            if not 0 <= getattr(self, name) < math.inf:
                raise LetheError(f"{name} is {getattr(self, name)}: give 0 or a number above it")
        if not 0 < self.cap <= 1:
            raise LetheError(f"cap is {self.cap}: give a share above 0 and at most 1")
