import numpy as np
import torch
from recbole.model.general_recommender.lightgcn import LightGCN as Upstream

from benchmarks.recbole_default import supply_dropped_names
from recsys.graph import mean_propagation, normalised_adjacency
from recsys.matrix import log_matrix
from tests.recsys.toy import camps, log_of


def upstream_adjacency(log):
    """RecBole's own method on the same matrix; its id 0 is ours too, for both leave padding to the dataset."""
    supply_dropped_names()

    class Stand:
        n_users, n_items = len(log.users), len(log.items)
        interaction_matrix = log_matrix(log).tocoo().astype(np.float32)

    return Upstream.get_norm_adj_mat(Stand()).to_dense().numpy()


def test_the_adjacency_equals_recboles():
    for log in (camps(20, 15, 6), log_of([(0, 0), (0, 1), (1, 1)], 4, 3)):
        ours = normalised_adjacency(log_matrix(log)).to_dense().numpy()
        assert np.abs(ours - upstream_adjacency(log)).max() < 1e-7
        assert np.array_equal(ours, ours.T)


def test_the_adjacency_by_hand():
    ours = normalised_adjacency(log_matrix(log_of([(0, 0), (0, 1), (1, 1)], 2, 2))).to_dense().numpy()
    half, root = 1 / 2, 1 / np.sqrt(2)
    expected = np.array([[0, 0, root, half], [0, 0, 0, root], [root, 0, 0, 0], [half, root, 0, 0]])
    assert np.abs(ours - expected).max() < 1e-6


def test_the_mean_of_the_layers_is_of_powers_of_the_adjacency():
    adjacency = normalised_adjacency(log_matrix(camps(6, 5, 3)))
    start = torch.randn(11, 2, generator=torch.Generator().manual_seed(0))
    dense = adjacency.to_dense()
    powers = [torch.linalg.matrix_power(dense, step) @ start for step in range(4)]
    for layers in range(4):
        got = mean_propagation(adjacency, start, layers)
        assert torch.allclose(got, torch.stack(powers[: layers + 1]).mean(dim=0), atol=1e-6)


def test_the_gradient_of_the_mean_equals_autograds_through_the_dense_matrix():
    adjacency = normalised_adjacency(log_matrix(camps(6, 5, 3)))
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(11, 2, generator=generator).requires_grad_()
    weight = torch.randn(11, 2, generator=generator)
    dense = adjacency.to_dense()
    plain = (start + dense @ start + dense @ (dense @ start)) / 3
    (expected,) = torch.autograd.grad((plain * weight).sum(), start)
    (got,) = torch.autograd.grad((mean_propagation(adjacency, start, 2) * weight).sum(), start)
    assert torch.allclose(got, expected, atol=1e-6)
