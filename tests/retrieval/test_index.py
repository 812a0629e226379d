"""Exact search against brute force: ties, heavy exclusion, full lists, and nothing of a person in the file."""

import numpy as np
import pytest

from db.errors import LetheError
from retrieval.index import ItemIndex

NONE = np.empty(0, dtype=np.int64)


def oracle(vectors, query, exclude, k):
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    rows = np.setdiff1d(np.arange(len(vectors)), exclude)
    return rows[np.lexsort((rows, -scores[rows]))][:k]


@pytest.mark.parametrize("k", [1, 7, 50, 200, 400])
def test_equals_brute_force_with_exclusions_that_differ_by_person(k):
    rng = np.random.default_rng(k)
    vectors = rng.standard_normal((300, 16)).astype(np.float32)
    queries = rng.standard_normal((20, 16)).astype(np.float32)
    exclude = [rng.choice(300, size=rng.integers(0, 300), replace=False) for _ in queries]
    for query, rows, hits in zip(queries, exclude, ItemIndex.build(vectors).search(queries, exclude, k), strict=True):
        assert hits.rows.tolist() == oracle(vectors, query, rows, k).tolist()
        assert len(hits.rows) == min(k, 300 - len(rows))
        np.testing.assert_allclose(hits.scores, vectors[hits.rows] @ query, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_ties_are_broken_by_the_lower_row(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (500, 4)).astype(np.float32)  # integers: inner products are exact, most are tied
    queries = rng.integers(-1, 2, (30, 4)).astype(np.float32)
    exclude = [rng.choice(500, size=rng.integers(0, 495), replace=False) for _ in queries]
    for k in (1, 10, 120):
        found = ItemIndex.build(vectors).search(queries, exclude, k)
        for query, rows, hits in zip(queries, exclude, found, strict=True):
            assert hits.rows.tolist() == oracle(vectors, query, rows, k).tolist()


def test_faiss_alone_does_not_break_ties_by_row():
    """The reason for the range search: without it the same question gets other rows. If this fails, drop it."""
    import faiss

    vectors = np.random.default_rng(0).integers(-1, 2, (500, 4)).astype(np.float32)
    plain = faiss.IndexFlatIP(4)
    plain.add(vectors)
    _, rows = plain.search(vectors[:1], 10)
    assert rows[0].tolist() != oracle(vectors, vectors[0], NONE, 10).tolist()


def test_all_items_excluded_gives_an_empty_list():
    index = ItemIndex.build(np.eye(4, dtype=np.float32))
    (hits,) = index.search(np.ones((1, 4), dtype=np.float32), [np.arange(4)], 3)
    assert hits.rows.tolist() == []
    assert index.search(np.zeros((0, 4), dtype=np.float32), [], 3) == []


def test_the_file_holds_items_only_and_survives_a_round_trip(tmp_path):
    vectors = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    index = ItemIndex.build(vectors)
    person = np.full((1, 8), 0.12345678, dtype=np.float32)
    before = index.search(person, [NONE], 5)[0]
    index.save(tmp_path / "a.faiss")
    again = ItemIndex.load(tmp_path / "a.faiss")
    assert len(again) == 40
    assert again.take(np.arange(40)).tobytes() == vectors.tobytes()
    assert again.search(person, [NONE], 5)[0].rows.tolist() == before.rows.tolist()
    content = (tmp_path / "a.faiss").read_bytes()
    assert vectors.tobytes() in content  # the scan finds what is there
    assert person.tobytes() not in content
    assert len(content) < vectors.nbytes + 200  # the header leaves no room for anything else
    assert [p.name for p in tmp_path.iterdir()] == ["a.faiss"]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    vectors = np.random.default_rng(2).standard_normal((10, 3)).astype(np.float32)
    ItemIndex.build(vectors).save(tmp_path / "a")
    ItemIndex.build(vectors).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_does_not_fit_is_refused(tmp_path):
    index = ItemIndex.build(np.eye(3, dtype=np.float32))
    with pytest.raises(LetheError, match="dimension 3"):
        index.search(np.zeros((1, 4), dtype=np.float32), [NONE], 1)
    with pytest.raises(LetheError, match="2 exclusions"):
        index.search(np.zeros((1, 3), dtype=np.float32), [NONE, NONE], 1)
    with pytest.raises(LetheError, match="finite"):
        ItemIndex.build(np.full((2, 2), np.nan, dtype=np.float32))
    with pytest.raises(LetheError, match="no index at"):
        ItemIndex.load(tmp_path / "absent")
    (tmp_path / "junk").write_bytes(b"not an index at all")
    with pytest.raises(LetheError, match="not a FAISS index"):
        ItemIndex.load(tmp_path / "junk")
