"""How deep a forgetting goes: at which layers the concept can still be read from the states, or carried by them.

Logit lens: the last norm and the output matrix applied to each layer's states. Patching: the states of the forgetting
put into the base at one layer, at the question's and the answer's tokens, and the fall of the true answer's
log-probability in nats a token, D(layer). Between forks, whose states have one basis, with D of the oracle as the
whole: score = sum over layers of D_oracle x clip(D / D_oracle, 0, 1) / sum of D_oracle, over layers with D_oracle above
`LEAST` (the Unlearning Depth Score). Patching the oracle's states on facts that both know must change nothing, or the
score is void.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm.model import LanguageModel
from unlearning.concept.base import Forgetting, Probe
from unlearning.concept.patching import FloatArray, falls, lens, per_token, states_of
from unlearning.concept.rows import Row, Turn, encode_rows

LEAST = 0.05
"""Nats a token: layers at which the oracle's states cost less say nothing; the most that the control may change."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Float64 [layers] each: of the concept's true answers, in nats a token."""

    fall: FloatArray
    """What patching the forgetting's states costs."""
    oracle_fall: FloatArray
    control: FloatArray
    """What patching the oracle's states costs facts that must stay, in absolute value."""
    lens: FloatArray
    """Log-probability that the logit lens reads from the forgetting's states."""
    lens_base: FloatArray
    lens_oracle: FloatArray

    @property
    def telling(self) -> NDArray[np.bool_]:
        """Layers at which the oracle differs from the base."""
        return self.oracle_fall > LEAST

    @property
    def void(self) -> bool:
        """The control failed, or no layer tells."""
        return bool((self.control > LEAST).any()) or not self.telling.any()

    @property
    def by_layer(self) -> FloatArray:
        """clip(D / D_oracle, 0, 1); NaN at layers that do not tell."""
        share = np.full(len(self.fall), np.nan)
        share[self.telling] = np.clip(self.fall[self.telling] / self.oracle_fall[self.telling], 0, 1)
        return share

    @property
    def score(self) -> float:
        """The Unlearning Depth Score, 0 for the base and 1 for the oracle; NaN where void."""
        if self.void:
            return float("nan")
        return float(np.average(self.by_layer[self.telling], weights=self.oracle_fall[self.telling]))


def depth(
    base: LanguageModel, forgetting: Forgetting, oracle: LanguageModel, forget: Sequence[Probe], keep: Sequence[Probe]
) -> Depth:
    """Patch and read every layer. `oracle` is a fork of the base; of `keep`, what both of them know is the control."""
    rows, kept = _rows(base, forget), _rows(base, keep)
    own, theirs = states_of(base, rows), states_of(oracle, _rows(oracle, forget))
    with forgetting.applied(base) as changed:
        found = states_of(changed, _rows(changed, forget))
    both = [row for row, known in zip(kept, _known(base, kept) & _known(oracle, kept), strict=True) if known]
    control = falls(base, both, states_of(oracle, both)) if both else np.full(len(own.layers), np.inf)
    return Depth(
        fall=falls(base, rows, found),
        oracle_fall=falls(base, rows, theirs),
        control=np.abs(control),
        lens=lens(base, rows, found),
        lens_base=lens(base, rows, own),
        lens_oracle=lens(base, rows, theirs),
    )


def _rows(model: LanguageModel, probes: Sequence[Probe]) -> list[Row]:
    return encode_rows(model, [Turn(probe.question, probe.answers[0], begun=probe.begun) for probe in probes])


def _known(model: LanguageModel, rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Which answers are found likelier than not, token by token: e^-0.1 a token at least."""
    return per_token(model, rows) > -0.1
