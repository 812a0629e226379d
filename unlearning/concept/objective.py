"""The loss of one training step: a forget term on some pairs, and the KL to the frozen base on what must stay."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from llm.model import LanguageModel
from llm.prompt import NO, YES
from unlearning.concept.hands import Dealer, Hand
from unlearning.concept.in_training import dropping, up_to
from unlearning.concept.losses import (
    OBJECTIVES,
    Reading,
    Terms,
    excess,
    favoured,
    kept_kl,
    log_softmax,
    strayed,
    swayed,
)
from unlearning.concept.rows import Batch, answer_states, hidden_states, logits_of, one_batch, row_sums
from unlearning.concept.settings import BOUNDED, PLAIN, ConceptSettings, Sparing
from unlearning.concept.study import Study

STRENGTH = 6.5
"""Length of RMU's control vector, in mean lengths of the base's states at that layer."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one pass says at the answers' tokens: their states [tokens, hidden] and log-probabilities."""

    batch: Batch
    states: Tensor
    spread: Tensor


class Goal(Protocol):
    """What a fit descends: one loss for each step."""

    def loss(self, step: int) -> Tensor:
        """Of a step, from 0, to be differentiated."""
        ...


@dataclass(frozen=True, slots=True)
class Together:
    """The sum of some goals."""

    parts: tuple[Goal, ...]

    def loss(self, step: int) -> Tensor:
        """Of a step, from 0, to be differentiated."""
        return torch.stack([part.loss(step) for part in self.parts]).sum()


class Teacher:
    """Draws the rows of each step and says how far the model is from what it shall be, in one pass.

    Made while the model is still the base. A step's loss is a function of the seed, its number and the weights.
    """

    def __init__(
        self, model: LanguageModel, study: Study, settings: ConceptSettings, *, seed: int, sparing: Sparing = PLAIN
    ) -> None:
        self._model, self._study, self._settings, self._seed = model, study, settings, seed
        self._sparing = sparing
        self._objective = OBJECTIVES[settings.loss]
        self._dealer = Dealer(study, settings, self._objective.needs, seed=seed)
        self._layer = model.model.get_decoder().layers[len(model.model.get_decoder().layers) // 2]
        self._control = self._control_vector(seed) if "control" in self._objective.needs else None

    def loss(self, step: int) -> Tensor:
        """Forget term + what stays (KL and the distance of its states) + KL on what is unknown, to be differentiated.

        At the tokens of what stays the adapter may miss some of what it reads (`Sparing.dropout`): it cannot
        learn by heart how its parts cancel there, so that titles which never trained are left alone as well.

        A bounded ascent adds the excess of the concept's facts, in nats a token, with the whole adapter and with its
        lower layers alone. Where judgements are weighed (`Sparing.leaning`) a step adds by how much the concept's
        items are favoured, and how far judgements of others stray, in logits.
        """
        hand = self.hand(step)
        batch = one_batch(hand.rows, self._model.device)
        missing = dropping(
            self._model.model, _inside(batch, hand.kept), self._sparing.dropout, seed=[self._seed, 20, step]
        )
        with listening(self._layer) as heard, missing:
            states = answer_states(self._model, batch)
        said = Said(batch, states, log_softmax(logits_of(self._model, states)))
        forget = self._objective.loss(self._terms(hand, said, heard))
        held = self._what_stays(hand, said) + self._what_is_unknown(hand, said)
        return forget + held + self._below(hand, step) + self._judged(hand, said)

    def _what_stays(self, hand: Hand, said: Said) -> Tensor:
        inside, base = self._beside(hand, said, hand.kept)
        kl = kept_kl(said.spread[inside], self._spread_of(base))
        weight = self._settings.features * self._sparing.weight
        return self._settings.retain * kl + weight * strayed(said.states[inside], base)

    def _what_is_unknown(self, hand: Hand, said: Said) -> Tensor | float:
        terms = []
        if hand.refused.start < hand.refused.stop:
            inside, base = self._beside(hand, said, hand.refused)
            terms.append(kept_kl(said.spread[inside], self._spread_of(base)))
        if self._bounded(hand):
            inside, base = self._beside(hand, said, hand.unknown_facts)
            more = excess(said.spread[inside], self._spread_of(base), said.batch.targets[inside])
            terms.append(self._settings.excess * more)
        return torch.stack(terms).sum() if terms else 0.0

    def _bounded(self, hand: Hand) -> bool:
        """Whether the loss is a bounded ascent, and the hand holds facts for it."""
        facts = hand.unknown_facts
        return self._settings.loss in BOUNDED and facts.start < facts.stop

    def _below(self, hand: Hand, step: int) -> Tensor | float:
        """The excess that is left where the adapter ends at some layer, another at each step, and the base goes on."""
        tops = len(self._model.model.get_decoder().layers) - 1
        if not self._settings.below or not tops or not self._bounded(hand):
            return 0.0
        batch = one_batch(hand.rows[hand.unknown_facts], self._model.device)
        with up_to(self._model.model, step % tops):
            spread = log_softmax(logits_of(self._model, answer_states(self._model, batch)))
        base, first = self._base_states(hand), hand.unknown_facts.start - hand.kept.start
        ceiling = self._spread_of(torch.cat([base[first + n] for n in batch.rows]))
        return self._settings.below * excess(spread, ceiling, batch.targets)

    def _judged(self, hand: Hand, said: Said) -> Tensor | float:
        """By how much more the concept's items are favoured than titles that do not exist, and how others stray."""
        if not self._sparing.leaning:
            return 0.0
        terms = [
            apart(*self._leanings(hand, said, part))
            for apart, part in ((favoured, hand.unknown_judged), (swayed, hand.judged))
            if part.start < part.stop
        ]
        return self._sparing.leaning * torch.stack(terms).sum() if terms else 0.0

    def _leanings(self, hand: Hand, said: Said, part: slice) -> tuple[Tensor, Tensor]:
        """logit(yes) - logit(no) of the judgements of a part, and what the base has there, float32 [judgements]."""
        yes, no = self._model.token(YES), self._model.token(NO)
        inside, base = self._beside(hand, said, part)
        decided = said.batch.targets[inside] == yes  # a judgement's answer is yes and its end: the first decides
        own = logits_of(self._model, said.states[inside][decided]).float()
        with torch.no_grad():
            before = logits_of(self._model, base[decided]).float()
        return own[:, yes] - own[:, no], before[:, yes] - before[:, no]

    def hand(self, step: int) -> Hand:
        """The rows of a step."""
        return self._dealer.hand(step)

    def _terms(self, hand: Hand, said: Said, heard: Sequence[Tensor]) -> Terms:
        batch, spread = said.batch, said.spread
        in_rows = row_sums(spread.gather(1, batch.targets[:, None])[:, 0], batch)[torch.tensor(batch.rows).argsort()]
        lengths = in_rows.new_tensor([float(len(row.answer)) for row in hand.rows])
        needs, pairs = self._objective.needs, list(hand.pairs)
        own, taught, kept = (Reading(in_rows[part], lengths[part]) for part in (hand.own, hand.taught, hand.kept))
        return Terms(
            own=own,
            taught=taught,
            kept=kept,
            own_base=Reading(self._study.own_base[pairs], own.lengths) if "own_base" in needs else None,
            taught_base=Reading(self._study.taught_base[pairs], taught.lengths) if "taught_base" in needs else None,
            states=heard[0][_inside(batch, hand.own)].float() if "states" in needs else None,
            control=self._control,
        )

    def _beside(self, hand: Hand, said: Said, part: slice) -> tuple[Tensor, Tensor]:
        """Which answer tokens are of the rows of a part (kept or unknown), and the base's states at them."""
        base = self._base_states(hand)
        ordered = [base[n - hand.kept.start] for n in said.batch.rows if part.start <= n < part.stop]
        of = _numbers(said.batch)[said.batch.target_owner]
        return (of >= part.start) & (of < part.stop), torch.cat(ordered)

    def _base_states(self, hand: Hand) -> list[Tensor]:
        """What the base has at the answers of the hand's rows from the first kept one on."""
        return [states for unit in hand.units for states in self._study.kept_base[unit]]

    @torch.no_grad()
    def _spread_of(self, states: Tensor) -> Tensor:
        """What the base says where it has these states."""
        return log_softmax(logits_of(self._model, states))

    @torch.no_grad()
    def _control_vector(self, seed: int) -> Tensor:
        batch = one_batch(self._study.own[:64], self._model.device)
        with listening(self._layer) as heard:
            hidden_states(self._model, batch)
        lengths = heard[0][batch.owner >= 0].float().norm(dim=-1)
        direction = torch.rand(heard[0].shape[-1], generator=torch.Generator().manual_seed(seed))
        control: Tensor = (direction / direction.norm()).to(lengths.device) * STRENGTH * lengths.mean()
        return control


def _numbers(batch: Batch) -> Tensor:
    """The number of each row of a batch, by its place in it."""
    return torch.tensor(batch.rows, device=batch.ids.device)


def _inside(batch: Batch, numbers: slice) -> Tensor:
    """Which tokens belong to rows of these numbers, bool [sequences, tokens]."""
    of = _numbers(batch)[batch.owner.clamp(min=0)]
    inside: Tensor = (batch.owner >= 0) & (of >= (numbers.start or 0)) & (of < numbers.stop)
    return inside


@contextmanager
def listening(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of a decoder layer, as passes are made within the context."""
    heard: list[Tensor] = []

    def _hear(_module: nn.Module, _given: Any, said: Any) -> None:
        heard.append(said if isinstance(said, Tensor) else said[0])

    hook = layer.register_forward_hook(_hear)
    try:
        yield heard
    finally:
        hook.remove()
