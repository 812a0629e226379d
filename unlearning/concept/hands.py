"""What each step of a fit looks at: what goes, what must stay and what is unknown, dealt by seed and step alone."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from unlearning.concept.rows import Row
from unlearning.concept.settings import ConceptSettings
from unlearning.concept.study import KEPT, UNKNOWN, Part, Study


class Deck:
    """Hands out numbers below `size`, each once before any comes again; a hand follows from seed and step alone."""

    def __init__(self, size: int, hand: int, seed: Sequence[int]) -> None:
        self._size, self._hand, self._seed = size, hand, list(seed)

    def hand(self, step: int) -> list[int]:
        """The numbers of a step, from 0; none where there is nothing to hand out."""
        if not self._size:
            return []
        return [self._at(place) for place in range(step * self._hand, (step + 1) * self._hand)]

    def _at(self, place: int) -> int:
        round_, at = divmod(place, self._size)
        return int(np.random.default_rng([*self._seed, round_]).permutation(self._size)[at])


@dataclass(frozen=True, slots=True)
class Hand:
    """What one step looks at: numbers of pairs and kept units, and their rows: own, taught, kept, unknown."""

    pairs: tuple[int, ...]
    units: tuple[int, ...]
    rows: tuple[Row, ...]
    own: slice
    taught: slice
    kept: slice
    unknown: slice
    """Facts, then judgements."""
    unknown_facts: slice
    judged: slice
    """Of what is kept, the judgements."""
    refused: slice
    """Of what is unknown, all but facts that a namesake answers."""

    @property
    def unknown_judged(self) -> slice:
        """Judgements of the concept's items."""
        return slice(self.unknown_facts.stop, self.unknown.stop)


class Dealer:
    """Draws the rows of each step from a study; which follows from the seed and the step's number."""

    def __init__(self, study: Study, settings: ConceptSettings, needs: AbstractSet[str], *, seed: int) -> None:
        self._study, self._needs = study, needs
        near = settings.retain_rows // 2 if Part.NEIGHBOUR in study.parts else 0
        hands = {
            Part.NEIGHBOUR: near,
            Part.OTHER: settings.retain_rows - near,
            Part.JUDGED: 1,
            Part.UNKNOWN_FACT: settings.unknown,
            Part.UNKNOWN_JUDGED: min(1, settings.unknown),
        }
        self._units = {part: study.units_of(part) for part in Part}
        self._decks = {
            part: Deck(len(self._units[part]), n, [seed, 19, place]) for place, (part, n) in enumerate(hands.items())
        }
        self._pairs = Deck(len(study.own), settings.forget_rows, [seed, 18])

    def hand(self, step: int) -> Hand:
        """The rows of a step; sides of the pairs that the loss does not read are left out."""
        pairs = self._pairs.hand(step)
        units = [self._units[part][at] for part, deck in self._decks.items() for at in deck.hand(step)]
        needs = self._needs
        own = [self._study.own[pair] for pair in pairs] if needs & {"own", "states"} else []
        taught = [self._study.taught[pair] for pair in pairs] if "taught" in needs else []
        units.sort(key=lambda unit: (self._study.parts[unit] in UNKNOWN, unit not in self._study.known))
        answered = sum(unit in self._study.known for unit in units)
        kept = [row for unit in units for row in self._study.kept[unit]]
        stays, judged, facts = (
            sum(len(self._study.kept[unit]) for unit in units if self._study.parts[unit] in parts)
            for parts in (KEPT, {Part.JUDGED}, {Part.UNKNOWN_FACT})
        )
        rows = (*own, *taught, *kept)
        first, second = len(own), len(own) + len(taught)
        third = second + stays
        return Hand(
            pairs=tuple(pairs),
            units=tuple(units),
            rows=rows,
            own=slice(first),
            taught=slice(first, second),
            kept=slice(second, third),
            unknown=slice(third, len(rows)),
            unknown_facts=slice(third, third + facts),
            judged=slice(third - judged, third),
            refused=slice(third + answered, len(rows)),
        )
