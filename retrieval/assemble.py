"""From rows to what a prompt may show: the filtered history and the candidates as items."""

from collections.abc import Sequence

from db.records import Item, UserId
from recsys.candidates import Candidates, IntArray
from retrieval.context import Context
from retrieval.filters.base import HistoryFilter

DEFAULT_LENGTH = 20
"""L: how many interactions a prompt shows (METHODS: most ml-100k histories are shorter than the paper's 100)."""


def assemble(
    user: UserId,
    history: IntArray,
    candidates: Candidates,
    catalogue: Sequence[Item],
    history_filter: HistoryFilter,
    *,
    length: int = DEFAULT_LENGTH,
    seed: int = 0,
) -> Context:
    """The context of one person. `history` holds visible item rows, oldest first, hidden items already left out.

    The order of the candidates is kept, and so is time in the history. The profile is left to the prompt.
    """
    kept = history[history_filter.select(history, candidates.rows, length, seed=seed)]
    return Context(
        user,
        history=tuple(catalogue[row] for row in kept.tolist()),
        candidates=tuple(catalogue[row] for row in candidates.rows.tolist()),
    )
