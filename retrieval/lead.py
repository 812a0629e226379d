"""How a backbone's candidates are found: FAISS over item vectors where it has them, else its own dense scores."""

from collections.abc import Sequence
from typing import Protocol

from recsys.candidates import Backbone, Candidates, FloatArray, IntArray, VectorBackbone
from recsys.topk import no_candidates
from retrieval.index import ItemIndex

ORIGIN = "backbone"


class Lead(Protocol):
    """A backbone as the retriever asks it."""

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """Full lists of at most k items, none excluded; an empty history yields an empty list."""
        ...

    def scores(self, histories: Sequence[IntArray], rows: Sequence[IntArray]) -> list[FloatArray]:
        """For each history, the scores of the given item rows."""
        ...


class VectorLead:
    """Exact search with a user vector computed from the history at query time; no user vector is kept."""

    def __init__(self, backbone: VectorBackbone) -> None:
        self._backbone = backbone
        self._index = ItemIndex.build(backbone.item_vectors)

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """By falling inner product, equal ones by rising row."""
        lists = [no_candidates() for _ in histories]
        known = [person for person, history in enumerate(histories) if len(history)]
        if not known:
            return lists
        queries = self._backbone.user_vectors([histories[person] for person in known])
        found = self._index.search(queries, [exclude[person] for person in known], k)
        for person, hits in zip(known, found, strict=True):
            lists[person] = Candidates(hits.rows, hits.scores, (ORIGIN,) * len(hits.rows))
        return lists

    def scores(self, histories: Sequence[IntArray], rows: Sequence[IntArray]) -> list[FloatArray]:
        """Inner products of the user's vector with the given items'."""
        people = self._backbone.user_vectors(histories)
        return [self._index.take(wanted) @ person for wanted, person in zip(rows, people, strict=True)]


class DenseLead:
    """A backbone that scores every item by its own means (EASE)."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """The backbone's own lists."""
        return self._backbone.candidates(histories, exclude, k)

    def scores(self, histories: Sequence[IntArray], rows: Sequence[IntArray]) -> list[FloatArray]:
        """The backbone's own scores of the given items."""
        return [full[wanted] for wanted, full in zip(rows, self._backbone.scores(histories), strict=True)]


def lead_of(backbone: Backbone) -> Lead:
    """The search that fits the backbone."""
    return VectorLead(backbone) if isinstance(backbone, VectorBackbone) else DenseLead(backbone)
