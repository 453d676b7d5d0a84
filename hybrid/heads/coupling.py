"""Noise of distributions with atoms: the convention "quantile" (floor 2)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.special import ndtr, ndtri

from causal.draws import uniform
from causal.noise import NoiseNotRecoverable, abduct, replay

__all__ = ["couple_by_quantiles"]

_ALMOST_ONE = 1 - 2.0**-53


def couple_by_quantiles(
    kind: type,
    ranks: Callable[[Any, Tensor], tuple[Tensor, Tensor]],
    quantile: Callable[[Any, Tensor], Tensor],
) -> None:
    r"""Let counterfactuals of ``kind`` use the convention "quantile".

    A value y of a scalar law with atoms leaves its rank open: it is drawn uniformly between
    :math:`P(Y < y)` and :math:`P(Y \le y)`, and another context's value is the quantile of that
    rank. The noise is the rank on the normal scale.

    Args:
        kind: A distribution class.
        ranks: Takes a distribution and values; returns both probabilities, in float64.
        quantile: Takes a distribution and ranks in float64; returns the smallest values whose
            cumulative probability is at least that.

    Example:
        >>> import pyro.distributions as dist
        >>> class Coin(dist.Bernoulli):
        ...     pass
        >>> def ranks(coin, value):
        ...     tails = (1 - coin.probs).double()
        ...     return value * tails, torch.where(value < 1, tails, 1.0)
        >>> couple_by_quantiles(Coin, ranks, lambda coin, rank: (rank > 1 - coin.probs).float())
        >>> coin, value = Coin(torch.full((4,), 0.3)), torch.tensor([0.0, 1.0, 0.0, 1.0])
        >>> replay(coin, abduct(coin, value, convention="quantile"), convention="quantile")
        tensor([0., 1., 0., 1.])
    """

    def noise_of(
        distribution: Any,
        value: Tensor,
        convention: str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        _named(kind, convention)
        low, high = ranks(distribution, value)
        if not bool((high > low).all()):
            raise ValueError(
                f"evidence has probability 0 under its {kind.__name__} law in at least one row, so "
                "that no noise explains it"
            )
        # 1 − share is in (0, 1], so that the rank is above P(Y < y) and the value comes back.
        share = 1 - uniform(high.shape, high, generator)
        return ndtri((low + share * (high - low)).clamp_max(_ALMOST_ONE)).to(value.dtype)

    def value_of(distribution: Any, noise: Tensor, convention: str | None = None) -> Tensor:
        _named(kind, convention)
        return quantile(distribution, ndtr(noise.double())).to(noise.dtype)

    abduct.register(kind, noise_of)
    replay.register(kind, value_of)


def _named(kind: type, convention: str | None) -> None:
    if convention != "quantile":
        raise NoiseNotRecoverable(
            f"{kind.__name__} has atoms, so a value leaves its noise open: name "
            f"convention='quantile' to draw its rank within the atom (got {convention!r})",
            ("quantile",),
        )
