"""How well a model knows the answers of probes, in one teacher-forced pass: nothing is generated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llm.model import LanguageModel
from unlearning.concept.base import Probe
from unlearning.concept.losses import log_softmax
from unlearning.concept.rows import Turn, answer_states, batches, encode_rows, in_order, logits_of, row_sums


@dataclass(frozen=True, slots=True)
class Recall:
    """Of each probe, in order: log-probability of the likeliest accepted answer (nats), and is one said greedily."""

    log_prob: NDArray[np.float64]
    exact: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    """Tokens of that answer, its end included."""

    @property
    def accuracy(self) -> float:
        """The share of probes answered exactly; NaN for none."""
        return float(self.exact.mean()) if len(self.exact) else float("nan")

    @property
    def probability(self) -> float:
        """The mean probability of the accepted answer; NaN for none."""
        return float(np.exp(self.log_prob).mean()) if len(self.exact) else float("nan")


@torch.inference_mode()
def recall(model: LanguageModel, probes: Sequence[Probe], *, tokens: int = 8192) -> Recall:
    """Ask every probe. `exact` holds where an accepted answer, with its end, is what greedy decoding would say."""
    asked = [(place, answer) for place, probe in enumerate(probes) for answer in probe.answers]
    turns = [Turn(probes[place].question, answer, begun=probes[place].begun) for place, answer in asked]
    rows = encode_rows(model, turns)
    log_probs, missed = [], []
    for batch in batches(rows, model.device, tokens=tokens):
        logits = logits_of(model, answer_states(model, batch))
        of_targets = log_softmax(logits).gather(1, batch.targets[:, None])[:, 0]
        log_probs.append((batch, row_sums(of_targets, batch)))
        missed.append((batch, row_sums((logits.argmax(-1) != batch.targets).float(), batch)))
    found = in_order(log_probs, len(rows)).double().cpu().numpy()
    right = in_order(missed, len(rows)).cpu().numpy() == 0
    return _best([place for place, _ in asked], found, right, np.array([len(row.answer) for row in rows]))


def _best(
    places: Sequence[int], log_probs: NDArray[np.float64], right: NDArray[np.bool_], lengths: NDArray[np.int64]
) -> Recall:
    """The likeliest answer of each probe; rows of one probe lie together."""
    size = max(places) + 1 if places else 0
    at = np.array(places, dtype=np.int64)
    exact = np.zeros(size, dtype=bool)
    np.logical_or.at(exact, at, right)
    order = np.lexsort((log_probs, at))
    last = np.flatnonzero(np.append(np.diff(at[order]) > 0, True)) if size else np.zeros(0, np.int64)
    best = order[last]
    return Recall(log_probs[best], exact, lengths[best])
