"""What is to be measured: which methods on which concepts, how often, and how much is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from db.errors import LetheError
from pipelines.evaluate_concepts.spec import drawn, sized
from pipelines.evaluate_concepts.subject import SHORT, Sizes
from unlearning.concept.attacks.relearn import USUAL, Budget
from unlearning.concept.methods import OTHERS, make
from unlearning.concept.settings import ADAPTER, LOSS, ConceptSettings, LossName, MaskName

CONCEPTS = ("Casablanca", "Star Trek", "Film-Noir")
"""A title, a franchise and a genre of ml-100k, unless others are named; a quick run has the second alone."""

METHODS = (
    ADAPTER,
    *(f"{LOSS.value}-{mask.value}" for mask in MaskName if mask is not MaskName.GUIDED),
    *(f"{loss.value}-guided" for loss in LossName if loss is not LOSS),
    *OTHERS,
)
"""Unless others are named: every mask with one loss, every loss with one mask, and all without either."""

ATTACKED = (ADAPTER, f"{LOSS.value}-random", f"{LOSS.value}-none", "refusal-guided", "npo-guided", "ablation")
"""Unless others are named: attacks take longer than all else."""

QUICK_METHODS = (ADAPTER, f"{LOSS.value}-random", "ablation", "prompt")

QUICK_SETTINGS = ConceptSettings(neurons=64, steps=40, check_every=20)
"""A few steps within a small mask."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What is to be measured; the base is part of every grid, the oracle where there is one."""

    concepts: tuple[str, ...]
    methods: tuple[str, ...] = METHODS
    neurons: tuple[int, ...] = (ConceptSettings().neurons,)
    """Sizes of masks; a method without one is measured once."""
    seeds: int = 3
    draws: int = 5
    """Seeds of methods whose mask is drawn at random."""
    attacked: tuple[str, ...] = ATTACKED
    """Methods that are attacked, those of them that are measured."""
    draw: int = 0
    """Seed of the questions."""
    sizes: Sizes = field(default_factory=Sizes)
    """How much is asked."""
    budget: Budget = USUAL
    """What a relearning attack may spend."""
    quick: bool = False
    """Whether the figures are no results."""

    def __post_init__(self) -> None:
        if not self.concepts or len(set(self.concepts)) < len(self.concepts):
            raise LetheError(f"concepts {', '.join(self.concepts) or 'none'}: name one at least, and each once")
        if min(self.seeds, self.draws, *self.neurons) < 1:
            raise LetheError(f"{self.seeds} seeds, {self.draws} draws, {self.neurons} neurons: give 1 or more")
        for name in self.methods:
            make(name, ConceptSettings())

    def wanted(self, seed: int) -> Iterator[tuple[str, int]]:
        """Methods with the sizes of their masks that are measured with a seed."""
        for name in self.methods:
            if seed < (max(self.seeds, self.draws) if drawn(name) else self.seeds):
                yield from ((name, size) for size in (self.neurons if sized(name) else self.neurons[:1]))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for; what is left empty is filled in."""

    concepts: Sequence[str] = ()
    methods: Sequence[str] = ()
    neurons: Sequence[int] = ()
    attacked: Sequence[str] = ()
    """`none` for none."""
    seeds: int | None = None
    draws: int | None = None
    draw: int = 0
    quick: bool = False


def filled(wish: Wish, neurons: int) -> Grid:
    """The grid of a wish; `neurons` is the size of masks that the settings name."""
    quick = wish.quick
    methods = tuple(wish.methods or (QUICK_METHODS if quick else METHODS))
    attacked = wish.attacked or (methods[:1] if quick else ATTACKED)
    return Grid(
        tuple(wish.concepts or (CONCEPTS[1:2] if quick else CONCEPTS)),
        methods,
        tuple(wish.neurons or (neurons,)),
        seeds=wish.seeds or (1 if quick else 3),
        draws=wish.draws or (1 if quick else 5),
        attacked=tuple(name for name in attacked if name != "none"),
        draw=wish.draw,
        sizes=SHORT if quick else Sizes(),
        budget=Budget(steps=(1, 5)) if quick else USUAL,
        quick=quick,
    )
