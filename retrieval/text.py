"""Neighbours by text: items whose descriptions mean what a person's visible history means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from db.errors import LetheError
from db.records import ItemId
from recsys.candidates import Candidates, FloatArray, IntArray
from recsys.ids import ItemRows
from recsys.topk import no_candidates
from retrieval.index import ItemIndex

FILE = "text.faiss"


class TextIndex:
    """Item texts as an index. It descends from item metadata alone: scope none, and nothing in it is a person's.

    Vectors are centred on the catalogue's mean and scaled to length 1: what all descriptions share says nothing
    about taste. The query is the mean over the history (measured against alternatives: docs/experiments.md).
    """

    name = "text"

    def __init__(self, items: tuple[ItemId, ...], index: ItemIndex) -> None:
        if len(items) != len(index):
            raise LetheError(f"{len(items)} items but {len(index)} text vectors; run: lethe train")
        self.items = items
        self._index = index

    @classmethod
    def build(cls, items: tuple[ItemId, ...], embeddings: FloatArray) -> Self:
        """Index text embeddings, float32 [items, d], one row for each item."""
        return cls(items, ItemIndex.build(centred(embeddings)))

    def vectors(self, rows: IntArray) -> FloatArray:
        """The centred unit vectors of item rows, float32 [rows, d]."""
        return self._index.take(rows)

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The nearest min(k, items − excluded) items to each history; an empty history yields an empty list."""
        told = [person for person, history in enumerate(histories) if len(history)]
        lists = [no_candidates() for _ in histories]
        queries = [self.vectors(histories[person]).mean(axis=0) for person in told]
        if not queries:
            return lists
        found = self._index.search(np.stack(queries), [exclude[person] for person in told], k)
        for person, hits in zip(told, found, strict=True):
            lists[person] = Candidates(hits.rows, hits.scores, (self.name,) * len(hits.rows))
        return lists

    def save(self, folder: Path) -> None:
        """Write the FAISS file and the ids to an existing folder."""
        self._index.save(folder / FILE)
        ItemRows(self.items).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(ItemRows.load(folder).ids, ItemIndex.load(folder / FILE))


def centred(embeddings: FloatArray) -> FloatArray:
    """Vectors minus their mean, each scaled to length 1; a vector that equals the mean stays 0."""
    moved = embeddings - embeddings.mean(axis=0, keepdims=True)
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    unit: FloatArray = np.divide(moved, length, out=np.zeros_like(moved), where=length > 1e-6)
    return unit
