"""Many byte strings looked for at once: the time does not grow with their number, so that many people cost as one."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FEW = 12
"""Strings that the plain search of each finds sooner."""

HEAD, LONG = 8, 64
"""Bytes by which strings are told apart before any is compared whole; histories begin alike, and differ further on."""

BLOCK = 1 << 22
"""Bytes that are read at a time."""


class Strings:
    """Byte strings to look for, each of at least two bytes."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        self._strings = tuple(dict.fromkeys(strings))
        lengths = sorted({len(string) for string in self._strings})
        if lengths and lengths[0] < 2:
            raise ValueError("a string of fewer than 2 bytes stands everywhere by chance")
        self._overlap = lengths[-1] - 1 if lengths else 0
        pairs = min(lengths[0] // 2, HEAD // 2) if lengths else 0
        self._by_head: dict[int, dict[bytes, list[bytes]]] = {2 * pairs: defaultdict(list), LONG: defaultdict(list)}
        for string in self._strings:
            size = LONG if len(string) >= LONG else 2 * pairs
            self._by_head[size][string[:size]].append(string)
        heads = np.frombuffer(b"".join(s[: 2 * pairs] for s in self._strings), dtype="<u2").reshape(-1, max(pairs, 1))
        self._tables = np.zeros((pairs, 1 << 16), dtype=np.bool_)
        for place in range(pairs):
            self._tables[place, heads[:, place]] = True
        self._heads = _joined(heads.T) if pairs else np.zeros(0, np.uint64)

    def in_file(self, path: Path) -> bool:
        """Whether one of them stands anywhere in the file's bytes."""
        tail = b""
        with path.open("rb") as file:
            while self._strings and (block := file.read(BLOCK)):
                window = tail + block
                if self.within(window):
                    return True
                tail = window[-self._overlap :] if self._overlap else b""
        return False

    def within(self, window: bytes) -> bool:
        """Whether one of them stands in these bytes."""
        if len(self._strings) <= FEW:
            return any(string in window for string in self._strings)
        return any(self._at(window, shift) for shift in (0, 1))

    def _at(self, window: bytes, shift: int) -> bool:
        """Places two bytes apart whose first bytes could be those of a string are looked at one by one."""
        count = (len(window) - shift) // 2
        if count < len(self._tables):
            return False
        pairs = np.frombuffer(window, dtype="<u2", offset=shift, count=count)
        last = count - len(self._tables) + 1
        found = np.flatnonzero(self._tables[0][pairs[:last]])
        for place, table in enumerate(self._tables[1:], start=1):
            found = found[table[pairs[found + place]]]
        found = found[np.isin(_joined([pairs[found + place] for place in range(len(self._tables))]), self._heads)]
        return any(self._begins(window, at) for at in (2 * found + shift).tolist())

    def _begins(self, window: bytes, at: int) -> bool:
        heads = self._by_head.items()
        return any(window.startswith(s, at) for size, known in heads for s in known.get(window[at : at + size], ()))


def _joined(pairs: Iterable[NDArray[np.uint16]]) -> NDArray[np.uint64]:
    """The 16-bit words at up to four places as one number each."""
    words = np.stack([np.atleast_1d(part).astype(np.uint64) for part in pairs])
    shifts = np.arange(len(words), dtype=np.uint64)[:, None] * np.uint64(16)
    joined: NDArray[np.uint64] = np.bitwise_or.reduce(words << shifts, axis=0)
    return joined
