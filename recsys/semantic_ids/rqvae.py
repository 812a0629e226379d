"""RQ-VAE (Lee et al. 2022; Rajput et al. 2023): an encoder with residual codes, fitted to give texts back."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from db.errors import LetheError
from recsys.semantic_ids.kmeans import clustered
from recsys.semantic_ids.tokenizer import Floats, Tokenizer, normalised, squared_distances

COMMITMENT = 0.25
"""Weight of drawing the encoder to its codes, against drawing codes to the encoder."""


@dataclass(frozen=True, slots=True)
class RqVae:
    """Fits a `Tokenizer` whose latents are an encoder's output; the encoder itself is not needed afterwards."""

    levels: int = 3
    width: int = 32
    size: int = 32
    """Of a latent."""
    hidden: int = 128
    steps: int = 400
    batch: int = 256
    learning_rate: float = 1e-3

    def fit(self, vectors: NDArray[np.floating], *, seed: int) -> Tokenizer:
        """Codebooks for text vectors [items, d]; equal arguments give equal bits on one machine and thread count."""
        if min(self.levels, self.width, self.size, self.steps) < 1:
            raise LetheError(f"{self} fits nothing: levels, codes, size and steps must be at least 1")
        texts, mean, scale = normalised(vectors)
        inputs = torch.from_numpy(texts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = _mlp(inputs.shape[1], self.hidden, self.size)
            decoder = _mlp(self.size, self.hidden, inputs.shape[1])
            with torch.no_grad():
                start = encoder(inputs).numpy()
            books = nn.Parameter(torch.from_numpy(self._start(start, seed)))
            self._train(inputs, (encoder, decoder), books)
        with torch.no_grad():
            latents = encoder(inputs).numpy()
        return Tokenizer(latents, books.detach().numpy().copy(), mean, scale)

    def _start(self, latents: Floats, seed: int) -> Floats:
        """Codebooks by residual k-means over what the encoder says before it has learned: no code begins unused."""
        rng, left, books = np.random.default_rng(seed), latents, []
        for _ in range(self.levels):
            book = clustered(left, self.width, rng, rounds=10)
            left = left - book[squared_distances(left, book).argmin(axis=1)]
            books.append(book)
        return np.stack(books)

    def _train(self, inputs: Tensor, coders: tuple[nn.Module, nn.Module], books: nn.Parameter) -> None:
        encoder, decoder = coders
        optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), books], lr=self.learning_rate)
        for _ in range(self.steps):
            texts = inputs[torch.randperm(len(inputs))[: self.batch]]
            latent = encoder(texts)
            quantised, strayed = _quantised(latent, books)
            told = decoder(latent + (quantised - latent).detach())
            optimiser.zero_grad()
            ((told - texts).square().sum(dim=1).mean() + strayed).backward()
            optimiser.step()


def _quantised(latent: Tensor, books: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of each latent's codes, and how far codes and residuals are from each other, both ways."""
    left, total, strayed = latent, torch.zeros_like(latent), latent.new_zeros(())
    for book in books:
        code = book[torch.cdist(left.detach(), book.detach()).argmin(dim=1)]
        pulled = (code - left.detach()).square().sum(dim=1).mean()
        strayed = strayed + pulled + COMMITMENT * (code.detach() - left).square().sum(dim=1).mean()
        total, left = total + code, left - code.detach()
    return total, strayed


def _mlp(first: int, hidden: int, last: int) -> nn.Module:
    return nn.Sequential(nn.Linear(first, hidden), nn.ReLU(), nn.Linear(hidden, last)).double()
