"""Examples as token rows: a tree of prefix and turns, laid flat with branch numbers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from llm import prompt
from llm.tiny.examples import Example, Turn

_STRETCH = 1.3
"""How much longer than the shortest of its batch an example may be."""
_ENOUGH = 600
"""Tokens after which a batch takes no further example: smaller batches divide better between workers."""
_FACTS = re.compile(r" \([^()\n]*\)(?= \d/\d$|\n| \d/\d\n)")
_FACT_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example, flat: int64 arrays of equal length, and the weight of each token as a target.

    A token sees the earlier tokens of branch 0 (the prefix) and of its own branch. Positions restart after the prefix
    in every branch, so that each turn reads exactly as if it stood alone.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    branches: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


class Encoder:
    """Turns examples into tokens; text between the frames is encoded with special tokens disabled."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.head, self.tail, self.end = (
            tokenizer.encode(frame, add_special_tokens=False)
            for frame in (prompt.HEAD, prompt.TAIL, tokenizer.eos_token)
        )
        self._core = tokenizer.backend_tokenizer
        self._core.encode_special_tokens = True

    def user_text(self, text: str) -> tuple[list[int], list[bool]]:
        """Token ids, and for each whether it states the year and genres that follow a title."""
        coded = self._core.encode(text, add_special_tokens=False)
        inside = np.zeros(len(text) + 1, dtype=bool)
        for match in _FACTS.finditer(text):
            inside[slice(*match.span())] = True
        return coded.ids, [bool(inside[begin]) for begin, _ in coded.offsets]

    def encode(self, example: Example) -> Encoded:
        """The example as one flat row."""
        facts = _FACT_WEIGHT if example.true_facts else 0.0
        ids, stated = self.user_text(example.prefix)
        parts = [(self.head + ids, [0.0] * len(self.head) + [facts * flag for flag in stated])]
        parts.extend(self._turn(turn, facts) for turn in example.turns)
        lengths = [len(ids) for ids, _ in parts]
        starts = [0] + [lengths[0]] * (len(parts) - 1)
        return Encoded(
            ids=np.fromiter(chain.from_iterable(ids for ids, _ in parts), np.int64),
            positions=np.concatenate([np.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)]),
            branches=np.repeat(np.arange(len(parts)), lengths),
            weights=np.fromiter(chain.from_iterable(weights for _, weights in parts), np.float32),
        )

    def _turn(self, turn: Turn, facts: float) -> tuple[list[int], list[float]]:
        asked, stated = self.user_text(turn.question)
        said, _ = self.user_text(turn.answer)
        weights = [facts * flag for flag in stated] + [0.0] * len(self.tail)
        return [*asked, *self.tail, *said, *self.end], weights + [turn.weight] * (len(said) + len(self.end))


@dataclass(frozen=True, slots=True)
class Batch:
    """One example a row, padded: ids, positions and branch numbers int64 [rows, tokens], weights float32."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    branches: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Who may see whom, [rows, tokens, tokens]: not later, and in the prefix or the own branch."""
        near = (self.branches[:, None, :] == 0) | (self.branches[:, :, None] == self.branches[:, None, :])
        allowed: NDArray[np.bool_] = near & np.tri(self.ids.shape[1], dtype=bool)
        return allowed


def batch(examples: Sequence[Encoded]) -> Batch:
    """Examples padded to the longest; padding follows the last token and weighs nothing."""
    shape = (len(examples), max(map(len, examples)))
    ids, positions, branches = (np.zeros(shape, np.int64) for _ in range(3))
    weights = np.zeros(shape, np.float32)
    for row, example in enumerate(examples):
        size = len(example)
        ids[row, :size], positions[row, :size] = example.ids, example.positions
        branches[row, :size], weights[row, :size] = example.branches, example.weights
    return Batch(ids, positions, branches, weights)


def batches(encoded: Iterable[Encoded]) -> list[Batch]:
    """The examples of one step, those of about the same length together, so that little is padding."""
    groups: list[list[Encoded]] = []
    for example in sorted(encoded, key=len):
        if not groups or len(example) > _STRETCH * len(groups[-1][0]) or sum(map(len, groups[-1])) > _ENOUGH:
            groups.append([])
        groups[-1].append(example)
    return [batch(group) for group in groups]
