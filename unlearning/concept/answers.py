"""What a model knows of the answers to probes, token by token, in one teacher-forced pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from llm.model import LanguageModel
from unlearning.concept.base import Probe
from unlearning.concept.losses import log_softmax
from unlearning.concept.rows import Row, Turn, answer_states, batches, encode_rows, logits_of

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """Of each probe, in order, for the accepted answer that the model finds likeliest; its end token counts too."""

    log_prob: FloatArray
    """Nats."""
    lengths: FloatArray
    """Tokens."""
    exact: FloatArray
    """1 where greedy decoding would say an accepted answer and end there, else 0."""
    extraction: FloatArray
    """Extraction strength: the share of the answer's last tokens that greedy decoding completes, given those before.

    1 - min(k : all is right from token k on) / tokens (after Carlini et al. 2021, as open-unlearning states it). The
    end token is left out: it follows a complete answer whatever is known.
    """

    @property
    def probability(self) -> FloatArray:
        """Of the whole answer."""
        return np.exp(self.log_prob)


def ask(model: LanguageModel, probes: Sequence[Probe], *, tokens: int = 8192) -> Answers:
    """Ask every probe. Nothing is generated: a greedy answer is right where every token of it is the likeliest."""
    pairs = [(place, answer) for place, probe in enumerate(probes) for answer in probe.answers]
    rows = encode_rows(model, [Turn(probes[place].question, text, begun=probes[place].begun) for place, text in pairs])
    likelihoods, hits = token_figures(model, rows, tokens=tokens)
    best = np.full(len(probes), -np.inf)
    found = {name: np.zeros(len(probes)) for name in ("lengths", "exact", "extraction")}
    for (place, _), row_likelihoods, row_hits in zip(pairs, likelihoods, hits, strict=True):
        found["exact"][place] = max(found["exact"][place], float(row_hits.all()))
        if row_likelihoods.sum() > best[place]:
            best[place], found["lengths"][place] = row_likelihoods.sum(), len(row_hits)
            found["extraction"][place] = completed(row_hits[:-1])
    return Answers(best, **found)


def completed(hits: NDArray[np.bool_]) -> float:
    """The share of tokens at the end without a miss among them; 0 for none.

    >>> completed(np.array([True, False, True, True]))
    0.5
    """
    misses = np.flatnonzero(~hits)
    return (len(hits) - 1 - int(misses[-1])) / len(hits) if len(misses) else float(len(hits) > 0)


@torch.inference_mode()
def token_figures(
    model: LanguageModel, rows: Sequence[Row], *, tokens: int = 8192
) -> tuple[list[FloatArray], list[NDArray[np.bool_]]]:
    """Of each row, in order, each answer token's log-probability and whether it is the likeliest."""
    likelihoods: dict[int, FloatArray] = {}
    hits: dict[int, NDArray[np.bool_]] = {}
    for batch in batches(rows, model.device, tokens=tokens):
        logits = logits_of(model, answer_states(model, batch))
        of_targets = log_softmax(logits).gather(1, batch.targets[:, None])[:, 0].double().cpu().numpy()
        right = (logits.argmax(-1) == batch.targets).cpu().numpy()
        cuts = np.cumsum([len(rows[number].answer) for number in batch.rows])[:-1]
        likelihoods |= dict(zip(batch.rows, np.split(of_targets, cuts), strict=True))
        hits |= dict(zip(batch.rows, np.split(right, cuts), strict=True))
    return [likelihoods[number] for number in range(len(rows))], [hits[number] for number in range(len(rows))]
