"""Semantic ids: for each item one code a level, and a last digit that tells apart items with equal codes."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import LetheError
from recsys.candidates import IntArray


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The ids of a catalogue: int64 [items, levels + 1], the last column the digit; no two rows are equal.

    A token is a number of its own for each level and code, so that one vocabulary serves all levels: level l's code k
    is token l·width + k, and the digits follow the last level.
    """

    codes: IntArray
    width: int
    """Codes of a level, as many as its codebook has rows."""
    digits: int
    """Most items that may share all codes: room is left, so that items can move without a new vocabulary."""

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.shape[1] < 2:
            raise ValueError(f"ids of shape {self.codes.shape}: give [items, levels + 1] with at least one level")
        if self.codes.min(initial=0) < 0 or self.codes[:, :-1].max(initial=0) >= self.width:
            raise ValueError(f"a code is outside 0 to {self.width - 1}")
        if self.codes[:, -1].max(initial=0) >= self.digits:
            raise LetheError(
                f"{int(self.codes[:, -1].max()) + 1} items share all codes and only {self.digits} can: use more codes"
            )
        if len(np.unique(self.codes, axis=0)) != len(self.codes):
            raise ValueError("two items have one id")

    @property
    def levels(self) -> int:
        """Levels of codes, the digit not counted."""
        return int(self.codes.shape[1] - 1)

    @property
    def vocabulary(self) -> int:
        """Tokens of all levels and digits; the decoder adds one that begins a history."""
        return self.levels * self.width + self.digits

    @property
    def tokens(self) -> IntArray:
        """The ids as tokens, int64 [items, levels + 1]."""
        return self.codes + np.arange(self.levels + 1) * self.width

    @property
    def version(self) -> str:
        """64 hexadecimal digits over every id: a decoder names the version that it speaks, and no other is served."""
        shape = f"{self.codes.shape}/{self.width}/{self.digits}/".encode()
        return hashlib.sha256(shape + np.ascontiguousarray(self.codes, dtype="<i8").tobytes()).hexdigest()

    @property
    def collisions(self) -> int:
        """Items that another item shares all codes with."""
        _, counts = np.unique(self.codes[:, :-1], axis=0, return_counts=True)
        return int(counts[counts > 1].sum())


def numbered(codes: IntArray, width: int, digits: int) -> CodeTable:
    """A table of codes [items, levels]: items with equal codes are numbered in the order of their rows."""
    return CodeTable(np.column_stack([codes, _ranks(codes)]), width, digits)


def moved(table: CodeTable, rows: IntArray, codes: IntArray) -> CodeTable:
    """The table with other codes [rows, levels] for some items; everybody else keeps the whole id, digit and all.

    Items that keep their codes keep their digit too; the others take the lowest that is free where they go, in the
    order of their rows.
    """
    new = table.codes.copy()
    goes = (table.codes[rows, :-1] != codes).any(axis=1)
    new[rows[goes], -1] = -1
    new[rows[goes], :-1] = codes[goes]
    taken: dict[tuple[int, ...], set[int]] = {}
    for code, digit in zip(map(tuple, new[:, :-1].tolist()), new[:, -1].tolist(), strict=True):
        taken.setdefault(code, set()).add(digit)
    for row in np.sort(rows[goes]).tolist():
        there = taken[tuple(new[row, :-1].tolist())]
        new[row, -1] = next(digit for digit in range(len(new) + 1) if digit not in there)
        there.add(int(new[row, -1]))
    return CodeTable(new, table.width, table.digits)


def _ranks(codes: IntArray) -> NDArray[np.int64]:
    """How many earlier rows have the same codes."""
    _, group = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    sorted_group = group[order]
    starts = np.searchsorted(sorted_group, sorted_group)
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = np.arange(len(codes)) - starts
    return ranks
