import numpy as np
import scipy.sparse as sp
import torch
from recbole.model.general_recommender.lightgcn import LightGCN as Upstream

from benchmarks.recbole_default import supply_dropped_names
from recsys.graph import SparseProduct, normalised_adjacency, propagate
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


def test_the_product_and_its_gradient_equal_autograds_on_a_matrix_that_is_not_symmetric():
    rng = np.random.default_rng(0)
    matrix = sp.random(7, 5, density=0.4, random_state=1, dtype=np.float64)
    dense = torch.from_numpy(matrix.toarray())
    csr = dense.to_sparse_csr()
    start = torch.from_numpy(rng.normal(size=(5, 3))).requires_grad_()
    weight = torch.from_numpy(rng.normal(size=(7, 3)))

    expected = dense @ start
    (gradient,) = torch.autograd.grad((expected * weight).sum(), start)
    got = SparseProduct.apply(csr, dense.T.contiguous().to_sparse_csr(), start)
    (ours,) = torch.autograd.grad((got * weight).sum(), start)
    assert torch.allclose(got, expected, atol=1e-12)
    assert torch.allclose(ours, gradient, atol=1e-12)


def test_propagation_is_powers_of_the_adjacency():
    adjacency = normalised_adjacency(log_matrix(camps(6, 5, 3)))
    start = torch.randn(11, 2, generator=torch.Generator().manual_seed(0))
    steps = propagate(adjacency, start, 3)
    dense = adjacency.to_dense()
    assert len(steps) == 4
    assert torch.allclose(steps[3], dense @ dense @ dense @ start, atol=1e-6)
