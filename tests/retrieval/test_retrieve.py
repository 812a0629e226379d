"""Who is served by what: full lists, exclusions, suppression, quotas and origins."""

import numpy as np
import pytest

from db.errors import LetheError
from retrieval.quota import choose_quota, places, union
from retrieval.retrieve import Retriever, Source, hide, origins
from retrieval.text import TextIndex
from tests.fakes import FakeDenseBackbone, FakeVectorBackbone, item_ids, popularity

NONE = np.empty(0, dtype=np.int64)
ITEMS = 60


def rows(*values):
    return np.array(values, dtype=np.int64)


def parts(seed=0, cold=(57, 58, 59)):
    """A vector backbone and a text index that disagree, and a popularity that falls with the row."""
    rng = np.random.default_rng(seed)
    backbone = FakeVectorBackbone(rng.standard_normal((ITEMS, 8)).astype(np.float32))
    text = TextIndex.build(item_ids(ITEMS), rng.standard_normal((ITEMS, 12)).astype(np.float32))
    counts = np.arange(100, 100 - ITEMS, -1)
    counts[list(cold)] = 0
    return backbone, text, popularity(counts.tolist())


def people(seed, count=40):
    rng = np.random.default_rng(seed)
    return [rng.choice(ITEMS - 3, size=rng.integers(1, 50), replace=False) for _ in range(count)]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("source", list(Source))
def test_lists_are_full_and_hold_nothing_excluded_or_suppressed(source, dense):
    backbone, text, popular = parts()
    if dense:
        backbone = FakeDenseBackbone(backbone.item_vectors @ backbone.item_vectors.T)
    histories = [*people(1), NONE, rows(58), rows(3)]
    gone = rows(3, 5, 58)
    retriever = Retriever(backbone, text, popular, 0.3, source, suppressed=gone)
    for k in (1, 10, 60):
        for history, found in zip(histories, retriever.candidates(histories, histories, k), strict=True):
            shut = np.union1d(history, gone)
            assert len(found) == min(k, ITEMS - len(shut))
            assert not np.isin(found.rows, shut).any()
            assert (np.diff(found.scores) <= 0).all()


def test_backbone_lists_equal_brute_force_over_warm_items():
    backbone, text, popular = parts()
    histories = people(2)
    found = Retriever(backbone, text, popular, source=Source.BACKBONE).candidates(histories, histories, 5)
    shut = [np.union1d(history, [57, 58, 59]) for history in histories]
    for got, expected in zip(found, backbone.candidates(histories, shut, 5), strict=True):
        assert got.rows.tolist() == expected.rows.tolist()
        assert set(got.origin) == {"backbone"}


def test_hybrid_gives_each_retrieval_its_places():
    backbone, text, popular = parts()
    histories = people(3)
    hybrid = Retriever(backbone, text, popular, 0.3).candidates(histories, histories, 10)
    led = Retriever(backbone, text, popular, source=Source.BACKBONE).candidates(histories, histories, 10)
    near = Retriever(backbone, text, popular, source=Source.TEXT).candidates(histories, histories, 10)
    for history, both, a, b in zip(histories, hybrid, led, near, strict=True):
        if ITEMS - 3 - len(history) < 10:
            continue
        brought = np.array(both.origin) == "backbone"
        assert both.rows[brought].tolist() == a.rows[:7].tolist()
        expected = [row for row in b.rows.tolist() if row not in a.rows[:7]][:3]
        assert sorted(both.rows[~brought].tolist()) == sorted(expected)
        known = ~np.isin(both.rows, [57, 58, 59])
        own = backbone.scores([history])[0][both.rows]
        np.testing.assert_allclose(both.scores[known], own[known], rtol=1e-5, atol=1e-6)


def test_cold_items_come_by_text_only_and_behind_what_the_backbone_knows():
    backbone, text, popular = parts(cold=range(30, ITEMS))
    histories = [rows(0, 1), rows(2)]
    led = Retriever(backbone, text, popular, source=Source.BACKBONE).candidates(histories, histories, 20)
    assert not any(np.isin(found.rows, np.arange(30, ITEMS)).any() for found in led)
    for found in Retriever(backbone, text, popular, 0.5).candidates(histories, histories, 20):
        cold = found.rows >= 30
        assert cold.any()
        assert {found.origin[i] for i in np.flatnonzero(cold)} == {"text"}
        assert (found.scores[cold] == found.scores[~cold].min()).all()


def test_cold_people_get_text_before_popularity():
    backbone, text, popular = parts()
    histories = [NONE, rows(58), rows(0)]
    nobody, cold, warm = Retriever(backbone, text, popular).candidates(histories, histories, 5)
    assert nobody.rows.tolist() == [0, 1, 2, 3, 4]
    assert set(nobody.origin) == {"popularity"}
    assert set(cold.origin) == {"text"}
    assert cold.rows.tolist() == text.candidates([rows(58)], [rows(58)], 5)[0].rows.tolist()
    assert set(warm.origin) == {"backbone"}
    assert origins([nobody, cold, warm]) == {"popularity": 5, "text": 5, "backbone": 5}


def test_a_suppressed_item_does_not_speak_through_the_history():
    backbone, text, popular = parts()
    for source in Source:
        hidden = Retriever(backbone, text, popular, 0.3, source, suppressed=rows(7))
        with_it, without = hidden.candidates([rows(7, 9), rows(9)], [rows(7, 9), rows(9)], 10)
        assert with_it.rows.tolist() == without.rows.tolist()
        only = hidden.candidates([rows(7)], [rows(7)], 10)[0]
        assert set(only.origin) == {"popularity"}


def test_a_batch_answers_as_one_by_one():
    backbone, text, popular = parts()
    histories = [*people(5, 10), NONE]
    retriever = Retriever(backbone, text, popular, 0.2)
    together = retriever.candidates(histories, histories, 12)
    for history, found in zip(histories, together, strict=True):
        (alone,) = retriever.candidates([history], [history], 12)
        assert alone.rows.tolist() == found.rows.tolist()
    assert retriever.candidates([], [], 12) == []


def test_union_by_hand():
    lead, text = rows(0, 1, 2, 3), rows(1, 9, 0, 8)
    assert union(lead, text, 4, 0.0).tolist() == [0, 1, 2, 3]
    assert union(lead, text, 4, 0.5).tolist() == [0, 1, 9, 8]  # 1 is there already, so it takes no place of the text's
    assert union(lead, text, 4, 1.0).tolist() == [1, 9, 0, 8]
    assert union(rows(5), text, 4, 0.25).tolist() == [5, 1, 9, 0]
    assert places(0.3, 10) == 3


def test_the_quota_is_the_one_that_finds_most():
    lead = [rows(0, 1, 2, 3), rows(4, 5, 6, 7)]
    text = [rows(8, 9, 10, 11), rows(8, 9, 10, 11)]
    halves = choose_quota(lead, text, [rows(0, 8), rows(4, 9)], k=4, shares=(0.0, 0.5, 1.0))
    assert halves.share == 0.5
    assert halves.recall == {0.0: 0.5, 0.5: 1.0, 1.0: 0.5}
    useless = choose_quota(lead, text, [rows(0), rows(4)], k=4, shares=(0.5, 0.25, 0.0))
    assert useless.share == 0.0  # of equal shares the smallest
    with pytest.raises(LetheError, match="no quota"):
        choose_quota([], [], [])


def test_text_queries_are_the_mean_over_the_history():
    vectors = np.random.default_rng(4).standard_normal((20, 6)).astype(np.float32)
    text = TextIndex.build(item_ids(20), vectors)
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    (found,) = text.candidates([rows(3, 8)], [rows(3, 8)], 18)
    scores = unit @ unit[[3, 8]].mean(axis=0)
    expected = [row for row in np.argsort(-scores) if row not in (3, 8)]
    assert found.rows.tolist() == expected


def test_text_index_round_trip(tmp_path):
    text = TextIndex.build(item_ids(9), np.random.default_rng(5).standard_normal((9, 4)).astype(np.float32))
    text.save(tmp_path)
    again = TextIndex.load(tmp_path)
    assert again.items == text.items
    assert again.candidates([rows(1)], [rows(1)], 4)[0].rows.tolist() == (
        text.candidates([rows(1)], [rows(1)], 4)[0].rows.tolist()
    )


def test_hide_keeps_order():
    assert hide(rows(4, 2, 9, 2), rows(2)).tolist() == [4, 9]


def test_what_does_not_fit_is_refused():
    backbone, text, popular = parts()
    with pytest.raises(LetheError, match="different items"):
        Retriever(backbone, text, popularity([1, 2]))
    with pytest.raises(LetheError, match="quota"):
        Retriever(backbone, text, popular, 1.5)
    with pytest.raises(LetheError, match="0 items"):
        Retriever(backbone, text, popular).candidates([NONE], [NONE], 0)
    with pytest.raises(LetheError, match="1 histories"):
        Retriever(backbone, text, popular).candidates([NONE], [], 3)
