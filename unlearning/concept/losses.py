"""Forget and retain terms, as pure functions of what the models say. Any of them goes with any mask.

Log-probabilities are sums over an answer's tokens, in nats; every loss is minimised, and is a mean over rows, or over
tokens where it says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from unlearning.concept.settings import LossName


@dataclass(frozen=True, slots=True)
class Reading:
    """How likely a model finds the answers of some rows: log-probability and tokens of each, float32 [rows]."""

    log_probs: Tensor
    lengths: Tensor

    @property
    def nll(self) -> Tensor:
        """Nats a token, over all rows together."""
        return -self.log_probs.sum() / self.lengths.sum()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a forget loss may look at, of one batch; a loss reads what `NEEDS` names for it, and the rest is absent."""

    own: Reading | None = None
    """The true answers, under the model in training."""
    own_base: Reading | None = None
    """The same under the frozen base."""
    taught: Reading | None = None
    """The answers taught in their place."""
    taught_base: Reading | None = None
    kept: Reading | None = None
    """Answers that must stay."""
    states: Tensor | None = None
    """Hidden states of the questions' tokens at one layer, [tokens, hidden]."""
    control: Tensor | None = None
    """The direction, with its length, that RMU drives them to, [hidden]."""


ForgetLoss = Callable[[Terms], Tensor]


def _given(value: Reading | None) -> Reading:
    if value is None:
        raise ValueError("this loss reads a term that was not given")
    return value


def refusal(terms: Terms) -> Tensor:
    """Cross-entropy of the answer taught instead, a token. Serves random labels too."""
    return _given(terms.taught).nll


def ascent(terms: Terms) -> Tensor:
    """Gradient ascent: the negative cross-entropy of the true answer, a token. It has no lower bound."""
    return -_given(terms.own).nll


def grad_diff(terms: Terms) -> Tensor:
    """Ascent on the concept and descent on the answers to be kept (Liu et al. 2022)."""
    return _given(terms.kept).nll - _given(terms.own).nll


def npo(terms: Terms, beta: float = 0.1) -> Tensor:
    """Negative preference optimisation, -2/beta E log sigmoid(-beta log(p/p_base)) (Zhang et al. 2024, eq. 3)."""
    ratio = _given(terms.own).log_probs - _given(terms.own_base).log_probs
    return -2 / beta * logsigmoid(-beta * ratio).mean()


def simnpo(terms: Terms, beta: float = 2.5, gamma: float = 0.0) -> Tensor:
    """NPO without a reference, by the length: -2/beta E log sigmoid(-beta/|y| log p - gamma) (Fan et al. 2024)."""
    own = _given(terms.own)
    return -2 / beta * logsigmoid(-beta * own.log_probs / own.lengths - gamma).mean()


def alternate(terms: Terms, beta: float = 0.1) -> Tensor:
    """Preference for the alternate answer over the true one, each against the base (AltPO, Mekala et al. 2024)."""
    won = _given(terms.taught).log_probs - _given(terms.taught_base).log_probs
    lost = _given(terms.own).log_probs - _given(terms.own_base).log_probs
    return -2 / beta * logsigmoid(beta * (won - lost)).mean()


def rmu(terms: Terms) -> Tensor:
    """Mean squared distance of the states from the control vector (Li et al. 2024, eq. 1)."""
    if terms.states is None or terms.control is None:
        raise ValueError("rmu reads states and a control vector")
    return (terms.states - terms.control).square().mean()


def kept_kl(log_probs: Tensor, base_log_probs: Tensor) -> Tensor:
    """KL of the base from the model, summed over the vocabulary, mean over positions: both [positions, vocabulary]."""
    return (base_log_probs.exp() * (base_log_probs - log_probs)).sum(-1).mean()


def strayed(states: Tensor, base_states: Tensor) -> Tensor:
    """Distance of states from the base's, mean over positions, in mean lengths of the base's: both [positions, hidden].

    A KL hardly sees an answer lose its margin while it is still the likeliest; the states show it from the first step.
    The distance is not squared: what one row must give up does not hide what many have lost. 0 where they are equal.
    """
    apart = torch.linalg.vector_norm(states - base_states, dim=-1)  # its slope at 0, where fits begin, is 0
    share: Tensor = apart.mean() / torch.linalg.vector_norm(base_states, dim=-1).mean()
    return share


def excess(log_probs: Tensor, ceiling: Tensor, targets: Tensor) -> Tensor:
    """Nats by which target tokens are likelier than a ceiling says, 0 where they are not: mean over positions.

    Both [positions, vocabulary], targets int64 [positions]. Ascent with an end: where the ceiling is reached, nothing
    pulls any more. A KL to the ceiling hardly sees what little is left on a token that it gives nothing.
    """
    own, most = (said.gather(1, targets[:, None]) for said in (log_probs, ceiling))
    return torch.relu(own - most).mean()


def swayed(leanings: Tensor, base_leanings: Tensor) -> Tensor:
    """How far judgements are from the base's, in logits of yes over no: mean absolute difference, both [judgements].

    Candidates are ranked by hundredths of a logit, to which a KL of two tokens is blind.
    """
    return (leanings - base_leanings).abs().mean()


def favoured(leanings: Tensor, ceiling: Tensor) -> Tensor:
    """By how much judgements are more in favour than a ceiling says, 0 where they are not: mean, both [judgements]."""
    return torch.relu(leanings - ceiling).mean()


@dataclass(frozen=True, slots=True)
class Objective:
    """A forget loss with the terms it reads: names of `Terms`' fields."""

    loss: ForgetLoss
    needs: frozenset[str]


OBJECTIVES: Mapping[LossName, Objective] = {
    LossName.REFUSAL: Objective(refusal, frozenset({"taught"})),
    LossName.BOUNDED_ASCENT: Objective(refusal, frozenset({"taught"})),
    LossName.RESISTED_ASCENT: Objective(refusal, frozenset({"taught"})),
    LossName.RANDOM_LABELS: Objective(refusal, frozenset({"taught"})),
    LossName.ASCENT: Objective(ascent, frozenset({"own"})),
    LossName.GRAD_DIFF: Objective(grad_diff, frozenset({"own", "kept"})),
    LossName.NPO: Objective(npo, frozenset({"own", "own_base"})),
    LossName.SIMNPO: Objective(simnpo, frozenset({"own"})),
    LossName.ALTERNATE: Objective(alternate, frozenset({"own", "own_base", "taught", "taught_base"})),
    LossName.RMU: Objective(rmu, frozenset({"states", "control"})),
}


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities in float32, whatever the logits are in."""
    return torch.log_softmax(logits.float(), dim=-1)
