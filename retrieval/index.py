"""Exact search over item vectors: FAISS inner product, with each person's exclusions inside the search.

The index holds items only. A person's vector is a query and is never added, so nothing of a person can stay in
its file. What FAISS leaves open is closed here: among equal scores it keeps an arbitrary row, we keep the lowest.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import faiss
import numpy as np

from db.errors import LetheError
from db.files import write_atomic
from recsys.candidates import FloatArray, IntArray

_BITMAP: Any = faiss.IDSelectorBitmap  # the stubs describe the C++ constructors, Python's are wider
_PARAMETERS: Any = faiss.SearchParameters


class Hits(NamedTuple):
    """What a search found, best first: item rows int64 [h] and their inner products float32 [h]."""

    rows: IntArray
    scores: FloatArray


class ItemIndex:
    """Exact maximum inner product over items. Read-only once built."""

    def __init__(self, index: faiss.Index) -> None:
        if not isinstance(index, faiss.IndexFlatIP):
            raise LetheError(f"the index is a {type(index).__name__}, not a flat inner product; build it again")
        self._index = index

    @classmethod
    def build(cls, vectors: FloatArray) -> Self:
        """Index item vectors, float32 [items, d]; row i of the index is row i of `vectors`."""
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise LetheError(f"item vectors of shape {vectors.shape} are not a finite matrix; train the model again")
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        """Length of an item vector."""
        return int(self._index.d)

    def take(self, rows: IntArray) -> FloatArray:
        """The vectors of the given item rows, a copy, float32 [rows, d]."""
        found: FloatArray = self._index.reconstruct_batch(np.asarray(rows, dtype=np.int64))
        return found

    def search(self, queries: FloatArray, exclude: Sequence[IntArray], k: int) -> list[Hits]:
        """The best items for each query, float32 [people, d], none of them in the person's `exclude`.

        Exactly min(k, items − excluded) hits each, by falling inner product; equal products by rising row.
        """
        self._check(queries, exclude)
        return [self._one(query, rows, k) for query, rows in zip(queries, exclude, strict=True)]

    def save(self, path: Path) -> None:
        """Write the index to `path`: a whole new file is put in its place, or nothing changes."""
        write_atomic(path, lambda temporary: faiss.write_index(self._index, str(temporary)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        if not path.is_file():
            raise LetheError(f"no index at {path}; run: lethe train")
        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError as error:
            raise LetheError(f"{path} is not a FAISS index; run: lethe train") from error

    def _check(self, queries: FloatArray, exclude: Sequence[IntArray]) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise LetheError(f"queries of shape {queries.shape} do not fit an index of dimension {self.dimension}")
        if len(queries) != len(exclude):
            raise LetheError(f"{len(queries)} queries but {len(exclude)} exclusions; give one for each")

    def _one(self, query: FloatArray, exclude: IntArray, k: int) -> Hits:
        """Search k + 1 deep: a last hit that equals the first one left out shows a tie, settled by a range search."""
        allowed = np.ones(len(self), dtype=np.bool_)
        allowed[exclude] = False
        k = min(k, int(allowed.sum()))
        bits = np.packbits(allowed, bitorder="little")  # must live as long as the selector, which does not own it
        within = _PARAMETERS(sel=_BITMAP(bits))
        question = np.ascontiguousarray(query[None], dtype=np.float32)
        scores, rows = self._index.search(question, k + 1, params=within)
        if k and scores[0, k - 1] == scores[0, k]:
            below = float(np.nextafter(scores[0, k], np.float32(-np.inf)))
            _, tied, tied_rows = self._index.range_search(question, below, params=within)
            return _ordered(tied_rows, tied, k)
        return _ordered(rows[0, :k], scores[0, :k], k)


def _ordered(rows: IntArray, scores: FloatArray, k: int) -> Hits:
    order = np.lexsort((rows, -scores))[:k]
    return Hits(rows[order], scores[order])
