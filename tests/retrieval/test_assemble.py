"""The context shows the rows that the filter kept, in time order, and the candidates in theirs."""

import numpy as np

from db.records import Item, ItemId, UserId
from recsys.candidates import Candidates
from retrieval.assemble import assemble
from retrieval.filters.controls import Random, Recent

CATALOGUE = [Item(ItemId(f"i{row}"), f"Title {row}") for row in range(10)]


def candidates(*rows):
    return Candidates(np.array(rows), np.zeros(len(rows), dtype=np.float32), ("backbone",) * len(rows))


def test_rows_become_items_in_order():
    context = assemble(UserId("u"), np.array([5, 2, 9, 0]), candidates(7, 1), CATALOGUE, Recent(), length=3)
    assert [item.id for item in context.history] == ["i2", "i9", "i0"]
    assert [item.id for item in context.candidates] == ["i7", "i1"]
    assert context.user == "u"
    assert context.profile == ""


def test_the_seed_reaches_the_filter():
    history = np.arange(10)
    drawn = {
        assemble(UserId("u"), history, candidates(), CATALOGUE, Random(), length=4, seed=seed).history
        for seed in (1, 1, 2)
    }
    assert len(drawn) == 2
