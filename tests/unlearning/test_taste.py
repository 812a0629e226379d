"""A taste adapter: what it is trained on, that it learns it, and that nothing stays when it goes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from db.errors import LetheError
from db.records import Item, ItemId
from llm.adapters import layers_of, next_logits
from tests.llm.toys import toy_model
from tests.recsys.toy import camps
from unlearning.data.taste import NEAR, Taste, TasteSettings, gaps, tastes, taught

SETTINGS = TasteSettings(rank=4, rate=2e-2, steps=20, people=2, pairs=3, length=4)


def catalogue(log):
    return tuple(Item(ItemId(str(name)), f"Film {row}", 1950 + row, ("Drama",)) for row, name in enumerate(log.items))


def people():
    """Two people who met the even films, which are dramas; beside them stand comedies."""
    films = tuple(Item(ItemId(str(n)), f"Film {n}", 1950, (("Drama", "Comedy")[n % 2],)) for n in range(24))
    return [Taste(films[0:12:2], films[1:12:2]), Taste(films[12::2], films[13::2])]


def test_beside_what_was_met_stands_something_of_like_popularity_that_was_not():
    log = camps(40, 48, 12, 0)
    items, counts = catalogue(log), np.bincount(log.item, minlength=len(log.items))
    found = tastes(log, items, seed=0)
    rank = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    row_of = {item.id: row for row, item in enumerate(items)}
    for one, history in zip(found, log.histories(), strict=True):
        assert [row_of[item.id] for item in one.met] == history.tolist()
        assert not {item.id for item in one.met} & {item.id for item in one.beside}
        apart = [abs(rank[row_of[a.id]] - rank[row_of[b.id]]) for a, b in zip(one.met, one.beside, strict=True)]
        assert max(apart) <= NEAR + len(history)
    assert tastes(log, items, seed=0) == found != tastes(log, items, seed=1)


def test_a_question_hides_what_it_asks_about():
    one = people()[0]
    asked = one.asked([1, 3], 3)
    assert [item.title for item in asked.candidates] == ["Film 2", "Film 6", "Film 3", "Film 7"]
    assert [item.title for item in asked.history] == ["Film 4", "Film 8", "Film 10"]
    assert one.asked([1], 0).history == ()


def test_the_adapter_learns_the_people_and_goes_without_a_trace():
    model, steps = toy_model(), []
    before, logits = gaps(model, people(), pairs=3, length=4), next_logits(model, "anything")
    with taught(model, people(), SETTINGS, seed=0, progress=lambda done, total: steps.append((done, total))):
        after = gaps(model, people(), pairs=3, length=4)
        assert not any(p.requires_grad for p in model.model.parameters())
    assert (after > before + 0.1).all()
    assert steps[-1] == (20, 20)
    assert not layers_of(model.model)
    assert torch.equal(next_logits(model, "anything"), logits)


def test_the_same_seed_gives_the_same_adapter_and_another_another():
    def fitted(seed):
        model = toy_model()
        with taught(model, people(), replace(SETTINGS, steps=3), seed=seed):
            return gaps(model, people(), pairs=3, length=4).tolist()

    assert fitted(0) == fitted(0) != fitted(1)


def test_nobody_and_nonsense_are_refused():
    with pytest.raises(LetheError, match="for nobody"), taught(toy_model(), [], SETTINGS, seed=0):
        pass
    with pytest.raises(LetheError, match="at least 1"):
        TasteSettings(pairs=0)
