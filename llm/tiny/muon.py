"""Muon: momentum whose matrix updates are orthogonalised (Jordan 2024), scaled as in Moonlight (Liu 2025).

Chosen because rare associations, such as one title's year, are learned in fewer tokens than with AdamW.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, rounds: int = 5) -> Tensor:
    """The matrix with all singular values near 1 (Newton-Schulz, quintic); float32, same shape."""
    a, b, c = _QUINTIC
    wide: Tensor = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """For matrices only. The size of an update matches AdamW's at the same rate.

    `spread` applies a function to every matrix, and may do so in several threads.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        *,
        spread: Callable[..., Iterator[None]] = map,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self._spread = spread

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            states = [self.state[weight] for weight in weights]
            list(self._spread(partial(_update, rate=group["lr"], momentum=group["momentum"]), weights, states))


@torch.no_grad()
def _update(weight: Tensor, state: dict[str, Tensor], rate: float, momentum: float) -> None:
    gradient = weight.grad
    if gradient is None:
        return
    running = state.setdefault("running", torch.zeros_like(weight))
    running.lerp_(gradient, 1 - momentum)
    update = orthogonalise(gradient.lerp(running, momentum))
    weight.add_(update, alpha=-0.2 * max(weight.shape) ** 0.5 * rate)
