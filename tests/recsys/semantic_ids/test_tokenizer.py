import numpy as np
import pytest
import torch

from recsys.semantic_ids.kmeans import ResidualKMeans, clustered
from recsys.semantic_ids.rqvae import COMMITMENT, RqVae, _quantised
from recsys.semantic_ids.tokenizer import Tokenizer, normalised

VECTORS = np.random.default_rng(3).normal(size=(60, 6)).astype(np.float32)


def by_hand(latents, books):
    """Codes one item at a time, the slow way."""
    codes = []
    for vector in latents:
        left, own = vector.copy(), []
        for book in books:
            own.append(int(np.argmin([np.square(left - code).sum() for code in book])))
            left = left - book[own[-1]]
        codes.append(own)
    return codes


@pytest.mark.parametrize("fitter", [ResidualKMeans(3, 5), RqVae(3, 5, size=4, hidden=8, steps=20, batch=16)])
def test_codes_are_those_of_the_nearest_residuals_in_float64(fitter):
    made = fitter.fit(VECTORS, seed=1)
    assert made.latents.dtype == made.codebooks.dtype == np.float64
    assert made.codes.tolist() == by_hand(made.latents, made.codebooks)
    assert np.array_equal(made.distances(np.arange(60)).argmin(axis=2).T, made.codes)
    again = fitter.fit(VECTORS, seed=1)
    assert np.array_equal(again.codebooks, made.codebooks)
    assert np.array_equal(again.latents, made.latents)


def test_a_residual_is_what_the_levels_before_left():
    made = ResidualKMeans(2, 4).fit(VECTORS, seed=0)
    assert np.array_equal(made.residuals[0], made.latents)
    assert np.array_equal(made.residuals[1], made.latents - made.codebooks[0][made.codes[:, 0]])


def test_of_two_codes_equally_near_the_first_is_taken():
    books = np.array([[[1.0], [-1.0], [1.0]]])
    assert Tokenizer(np.array([[0.0], [2.0]]), books, np.zeros(1), 1.0).codes.tolist() == [[0], [0]]


def test_latents_of_another_precision_are_refused():
    with pytest.raises(ValueError, match="float64"):
        Tokenizer(np.zeros((2, 1), np.float32), np.zeros((1, 2, 1)), np.zeros(1), 1.0)  # type: ignore[arg-type]


def test_kmeans_finds_three_heaps():
    heaps = np.repeat(np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), 10, axis=0)
    points = heaps + np.random.default_rng(0).normal(scale=0.1, size=heaps.shape)
    centres = clustered(points, 3, np.random.default_rng(5), rounds=20)
    found = sorted(map(tuple, centres.round(6).tolist()))
    assert found == sorted(tuple(points[a : a + 10].mean(axis=0).round(6)) for a in (0, 10, 20))


def test_each_level_leaves_less():
    made = ResidualKMeans(3, 8).fit(VECTORS, seed=2)
    left = [np.square(residual).sum() for residual in made.residuals]
    assert left[0] > left[1] > left[2]


def test_an_rqvae_gives_heaps_codes_of_their_own():
    heaps = np.repeat(5 * np.eye(3, 6), 10, axis=0) + np.random.default_rng(0).normal(scale=0.1, size=(30, 6))
    made = RqVae(2, 3, size=4, hidden=16, steps=60, batch=30).fit(heaps, seed=1)
    firsts = [set(made.codes[start : start + 10, 0].tolist()) for start in (0, 10, 20)]
    assert [len(one) for one in firsts] == [1, 1, 1]
    assert len(set.union(*firsts)) == 3


def test_an_rqvaes_gradients_by_hand():
    """Residuals 1, then 1 − 0; what the decoder asks for goes through to the encoder, and to no codebook."""
    latent = torch.tensor([[1.0]], dtype=torch.float64, requires_grad=True)
    books = torch.tensor([[[0.0], [3.0]], [[1.5], [-9.0]]], dtype=torch.float64, requires_grad=True)
    quantised, strayed = _quantised(latent, books)
    assert quantised.item() == 1.5
    told = latent + (quantised - latent).detach()
    passed, kept = torch.autograd.grad(told.sum(), (latent, books), allow_unused=True)
    assert (passed.item(), kept) == (1.0, None)
    assert strayed.item() == pytest.approx((1 + COMMITMENT) * (1 + 0.25))
    of_latent, of_books = torch.autograd.grad(strayed, (latent, books))
    assert of_latent.item() == pytest.approx(COMMITMENT * 2 * (1.0 - 0.5))
    assert of_books.tolist() == [[[pytest.approx(-2.0)], [0.0]], [[pytest.approx(1.0)], [0.0]]]


def test_no_code_of_an_rqvae_begins_unused():
    latents = normalised(VECTORS)[0]
    books = RqVae(2, 5)._start(latents, 1)
    made = Tokenizer(latents, books, np.zeros(6), 1.0)
    assert [len(set(column)) for column in made.codes.T.tolist()] == [5, 5]


def test_vectors_are_centred_and_scaled():
    latents, mean, scale = normalised(VECTORS)
    assert np.square(latents).sum(axis=1).mean() == pytest.approx(1.0)
    assert latents * scale + mean == pytest.approx(VECTORS.astype(np.float64))
