"""Balanced clusters, the vectors they are made in, and the tables they are kept in."""

import subprocess
import sys

import numpy as np
import pytest

from db.errors import LetheError
from recsys.matrix import log_matrix
from tests.recsys.toy import camps, log_of
from unlearning.data.balance import assign, balanced_interactions, balanced_kmeans
from unlearning.data.partition import HashPartition, TablePartition
from unlearning.data.spectral import spectral_vectors


def greedy(distance, capacity):
    """All pairs from nearest to farthest; each open row to its cluster unless that is full."""
    cluster = np.full(len(distance), -1)
    pairs = sorted((d, row, c) for row, line in enumerate(distance) for c, d in enumerate(line))
    for _, row, c in pairs:
        if cluster[row] < 0 and np.count_nonzero(cluster == c) < capacity:
            cluster[row] = c
    return cluster


@pytest.mark.parametrize("seed", range(6))
def test_the_assignment_is_that_of_going_through_all_pairs(seed):
    rng = np.random.default_rng(seed)
    distance = rng.random((40, 7)) if seed < 4 else rng.integers(0, 4, (40, 7)).astype(float)
    capacity = [6, 8, 40, 7, 6, 10][seed]
    assert np.array_equal(assign(distance, capacity), greedy(distance, capacity))


def test_rows_that_cannot_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        assign(np.zeros((5, 2)), 2)


def test_clusters_are_balanced_even_where_the_data_is_not():
    """Nine points at 0 and three far away: three clusters of four, the far ones together."""
    vectors = np.concatenate([np.zeros((9, 1)), np.full((3, 1), 50.0)])
    cluster = balanced_kmeans(vectors, 3, seed=0)
    assert np.bincount(cluster).tolist() == [4, 4, 4]
    assert len(set(cluster[9:].tolist())) == 1


def test_fewer_rows_than_clusters_get_one_each():
    assert sorted(balanced_kmeans(np.arange(3.0)[:, None], 8, seed=0).tolist()) == [0, 1, 2]
    assert balanced_kmeans(np.zeros((0, 2)), 4, seed=0).tolist() == []


def test_an_interaction_is_as_far_as_its_person_times_its_item():
    """Two groups of people with items of their own are told apart, and one of equal size is made of each."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20)
    users, items = (group[:, None] * 5.0 + rng.normal(scale=0.1, size=(40, 2)) for _ in range(2))
    cluster = balanced_interactions(users, items, clusters=2, seed=1)
    assert np.bincount(cluster).tolist() == [20, 20]
    assert len(set(cluster[:20].tolist())) == 1


def test_spectral_vectors_are_the_leading_singular_vectors():
    log = camps(30, 20, 6)
    users, items = spectral_vectors(log, 2, seed=5)
    x = log_matrix(log).toarray()
    scaled = x / np.sqrt(np.outer(x.sum(axis=1), np.maximum(1, x.sum(axis=0))))
    left, values, right = np.linalg.svd(scaled)
    assert np.abs(users @ items.T - (left[:, :2] * values[:2]) @ right[:2]).max() < 0.05
    assert np.linalg.norm(users, axis=0) == pytest.approx(np.sqrt(values[:2]), rel=1e-2)


def test_spectral_vectors_of_lonely_people_are_zero_and_a_tiny_matrix_is_enough():
    users, items = spectral_vectors(log_of([(0, 0), (2, 1)], 3, 3), 16, seed=1)
    assert users.shape == items.shape == (3, 3)
    assert users[1] == pytest.approx(np.zeros(3), abs=1e-9)


@pytest.mark.parametrize("pairs", [False, True])
def test_a_table_finds_rows_again_in_any_numbering_and_forgets_those_that_are_gone(pairs, tmp_path):
    log = camps(12, 10, 4)
    places = (log.user if not pairs else log.user + log.item) % 3
    table = TablePartition.of(log, places, 3, pairs=pairs)
    turned = type(log)(
        log.users[::-1], log.items[::-1], 11 - log.user, 9 - log.item, log.timestamp, log.rating, log.split
    )
    assert np.array_equal(table.shard_of(turned), places)
    table.save(tmp_path)
    assert np.array_equal(TablePartition.load(tmp_path).shard_of(log), places)
    fewer = log.take(log.user != 4)
    kept = table.within(fewer)
    assert np.array_equal(kept.shard_of(fewer), places[log.user != 4])
    with pytest.raises(LetheError, match=r"4 rows belong to no shard"):
        kept.shard_of(log)
    with pytest.raises(LetheError, match="belong to no shard"):
        kept.within(log.take(np.zeros(len(log), dtype=bool))).shard_of(log)


def test_tables_that_are_no_partition_are_refused():
    keys = np.array([1, 2], dtype=np.uint64)
    with pytest.raises(ValueError, match="ascending"):
        TablePartition(2, False, keys[::-1], np.array([0, 1]))
    with pytest.raises(ValueError, match="outside 0 to 1"):
        TablePartition(2, False, keys, np.array([0, 2]))
    with pytest.raises(LetheError, match="at least 1"):
        HashPartition(0)


def test_hashed_shards_are_about_equal():
    log = log_of([(user, 0) for user in range(2000)], 2000, 1)
    assert np.bincount(HashPartition(10).shard_of(log)).min() > 150


def test_sharded_methods_load_without_torch():
    code = (
        "import sys, unlearning.data.sisa, unlearning.data.receraser, unlearning.data.grapheraser; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "unlearning.data.receraser" in loaded
    assert "torch" not in loaded
