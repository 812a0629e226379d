"""The trie of all ids: what may follow what, level by level."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.candidates import IntArray
from recsys.semantic_ids.codes import CodeTable

END = -1
"""Stands where a node has no such child."""


@dataclass(frozen=True)
class Level:
    """The nodes of one depth, in lexicographic order of their codes."""

    code: IntArray
    """[nodes] the last code of each."""
    parent: IntArray
    """[nodes] the node one depth up; 0 at the first depth, whose parent is the root."""
    children: IntArray
    """[nodes of the depth above, codes] the node that a code leads to, or `END`."""
    first: IntArray
    """[nodes + 1] where the items below a node begin in `Trie.order`."""


class Trie:
    """Every id of a table. `order` [items] lists item rows in the lexicographic order of their ids."""

    def __init__(self, table: CodeTable) -> None:
        self.table = table
        self.order: IntArray = np.lexsort(table.codes.T[::-1]).astype(np.int64)

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """One for each level and one for the digits; the nodes of the last are the items, in `order`."""
        codes, found = self.table.codes[self.order], []
        above = np.zeros(len(codes), dtype=np.int64)
        for depth in range(codes.shape[1]):
            width = self.table.digits if depth == self.table.levels else self.table.width
            key = above * width + codes[:, depth]
            unique, first, node = np.unique(key, return_index=True, return_inverse=True)
            children = np.full((int(above.max(initial=0)) + 1, width), END, dtype=np.int64)
            children[unique // width, unique % width] = np.arange(len(unique))
            ends = np.append(first, len(codes)).astype(np.int64)
            found.append(Level(unique % width, unique // width, children, ends))
            above = node.astype(np.int64)
        return tuple(found)

    def open(self, closed: IntArray) -> list[NDArray[np.bool_]]:
        """For each depth, which nodes [nodes] lead to an item that is not `closed` (item rows)."""
        free = np.ones(len(self.order), dtype=np.int64)
        free[np.isin(self.order, closed)] = 0
        total = np.concatenate([[0], np.cumsum(free)])
        return [total[level.first[1:]] > total[level.first[:-1]] for level in self.levels]
