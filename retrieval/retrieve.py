"""Candidates for people: the backbone's, text neighbours of the visible history, or both with a quota each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

import numpy as np

from db.errors import LetheError
from recsys.candidates import Backbone, Candidates, FloatArray, IntArray
from recsys.popularity import Popularity
from recsys.topk import no_candidates
from retrieval.lead import lead_of
from retrieval.quota import places, union
from retrieval.text import TextIndex

NONE = np.empty(0, dtype=np.int64)


class Source(StrEnum):
    """What brings candidates (`--retrieve`)."""

    BACKBONE = "backbone"
    TEXT = "text"
    HYBRID = "hybrid"


class Retriever:
    """Serves candidate lists that are always full: min(k, items − excluded) items, none excluded or suppressed.

    Items that nobody has met (cold: popularity 0) come in by text only, for what a backbone says of them is noise. A
    person whose history holds no warm item is served by text, and one without a history by popularity. Suppressed
    items are hidden twice: they are never found, and they do not count as history.

    Scores are those of the retrieval that leads the list (the backbone's wherever it knows the person), so that they
    share one scale and never rise: an item it cannot score takes the lowest score of the list. `origin` says for
    each item which retrieval brought it.
    """

    def __init__(
        self,
        backbone: Backbone,
        text: TextIndex,
        popularity: Popularity,
        quota: float = 0.0,
        source: Source = Source.HYBRID,
        *,
        suppressed: IntArray = NONE,
    ) -> None:
        if not backbone.items == text.items == popularity.items:
            raise LetheError("backbone, text index and popularity list different items; run: lethe train")
        if not 0 <= quota <= 1:
            raise LetheError(f"the quota of text neighbours is {quota}; give a share from 0 to 1")
        self._lead, self._text, self._popularity = lead_of(backbone), text, popularity
        self._source = Source(source)
        self._share = {Source.BACKBONE: 0.0, Source.TEXT: 1.0, Source.HYBRID: quota}[self._source]
        self._suppressed = suppressed
        self._cold = np.flatnonzero(popularity.counts == 0)

    def candidates(self, histories: Sequence[IntArray], exclude: Sequence[IntArray], k: int) -> list[Candidates]:
        """For each visible history (item rows, oldest first) its k best items, best first.

        `exclude` names what is not to be offered to that person: as a rule the history itself.
        """
        if len(histories) != len(exclude):
            raise LetheError(f"{len(histories)} histories but {len(exclude)} exclusions; give one for each")
        if k < 1:
            raise LetheError(f"a list of {k} items was asked for; ask for at least 1")
        visible = [hide(history, self._suppressed) for history in histories]
        closed = [np.union1d(rows, self._suppressed).astype(np.int64) for rows in exclude]
        led = self._led(visible, closed, k)
        text = self._neighbours(visible, closed, led, k)
        return self._filled(self._joined(visible, led, text, k), closed, k)

    def _led(self, visible: Sequence[IntArray], closed: Sequence[IntArray], k: int) -> list[Candidates]:
        """The backbone's lists over warm items; empty for people whom it does not know, and in `text` mode."""
        if self._source is Source.TEXT:
            return [no_candidates() for _ in visible]
        return self._lead.candidates(self._warm(visible), [np.union1d(rows, self._cold) for rows in closed], k)

    def _neighbours(
        self, visible: Sequence[IntArray], closed: Sequence[IntArray], led: Sequence[Candidates], k: int
    ) -> list[Candidates]:
        """Text neighbours of those whose list has room for them."""
        room = [places(self._share, k) > 0 or len(found) < k for found in led]
        return self._text.candidates([h if r else NONE for h, r in zip(visible, room, strict=True)], closed, k)

    def _joined(
        self, visible: Sequence[IntArray], led: Sequence[Candidates], text: Sequence[Candidates], k: int
    ) -> list[Candidates]:
        lists = [a if len(a) else b for a, b in zip(led, text, strict=True)]
        mixed = [p for p in range(len(lists)) if len(led[p]) and len(text[p])]
        rows = [union(led[p].rows, text[p].rows, k, self._share) for p in mixed]
        scores = self._lead.scores(self._warm([visible[p] for p in mixed]), rows) if mixed else []
        for person, found, known in zip(mixed, rows, scores, strict=True):
            lists[person] = self._ordered(found, known, led[person], k - places(self._share, k))
        return lists

    def _ordered(self, rows: IntArray, scores: FloatArray, led: Candidates, kept: int) -> Candidates:
        """Rows by falling backbone score; cold ones stay in order behind the warm, at the lowest score of those."""
        brought = np.arange(len(rows)) < min(kept, len(led))
        cold = np.isin(rows, self._cold)
        scores = np.where(cold, scores[~cold].min(initial=led.scores[-1]), scores).astype(np.float32)
        scores[brought] = led.scores[:kept]
        order = np.lexsort((cold, -scores))
        origin = tuple(Source.BACKBONE.value if led_by else Source.TEXT.value for led_by in brought[order].tolist())
        return Candidates(rows[order], scores[order], origin)

    def _warm(self, histories: Sequence[IntArray]) -> list[IntArray]:
        return [hide(history, self._cold) for history in histories]

    def _filled(self, lists: list[Candidates], closed: Sequence[IntArray], k: int) -> list[Candidates]:
        """Popularity for those who have no list."""
        bare = [person for person, found in enumerate(lists) if not len(found)]
        if bare:
            for person, found in zip(bare, self._popularity.fallback([closed[p] for p in bare], k), strict=True):
                lists[person] = found
        return lists


def hide(history: IntArray, rows: IntArray) -> IntArray:
    """The history without the given item rows, in the same order."""
    return history[~np.isin(history, rows)] if len(rows) else history


def origins(lists: Iterable[Candidates]) -> dict[str, int]:
    """How many items each retrieval brought, over all lists: what a report of fallbacks counts."""
    return dict(Counter(origin for found in lists for origin in found.origin))
