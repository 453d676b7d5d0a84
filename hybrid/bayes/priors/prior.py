"""What a prior over weights is (floor 0)."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Prior", "PriorDensity", "monte_carlo_divergence"]

Draws = Callable[[], Tensor]


@runtime_checkable
class PriorDensity(Protocol):
    """A prior over one flat vector of weights: a module that owns what the prior learns.

    Example:
        >>> import torch
        >>> from hybrid.bayes.priors.normal import Normal
        >>> density: PriorDensity = Normal().over({"weight": torch.zeros(3)})
        >>> density.surprisal(torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def divergence_of(
        self,
        mean: Float[Tensor, "weights"],
        scale: Float[Tensor, "weights"],
        draws: Draws,
    ) -> Float[Tensor, ""]:
        """KL divergence of independent normal weights from the prior.

        ``draws()`` gives weights ``(draws, weights)`` of the posterior, for a prior without a
        closed form. What the prior learns has its own divergence in it.
        """
        ...

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Float[Tensor, "*draws"]:
        """Negative log density of whole vectors."""
        ...


@runtime_checkable
class Prior(Protocol):
    """A kind of prior over weights, with its settings.

    Example:
        >>> from hybrid.bayes.priors.laplace import Laplace
        >>> prior: Prior = Laplace(0.1)
    """

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """Make the `PriorDensity` of these weights, one behind the other.

        ``stated`` are the scales that layers state for some of them (circuits: π for angles). Such
        a weight has a normal prior of that scale, whatever the prior of the others.
        """
        ...


def monte_carlo_divergence(
    density: nn.Module, scale: Float[Tensor, "weights"], draws: Draws
) -> Float[Tensor, ""]:
    r"""Divergence of normal weights from a prior without a closed form.

    .. math:: \frac1S \sum_s -\log p(w_s) - \sum_i \log \sigma_i - \frac{d}{2} \log 2 \pi e

    The entropy is exact; only the prior's part is an average over draws.

    Args:
        density: The prior.
        scale: Standard deviations σ.
        draws: Gives weights ``(draws, weights)``.

    Source: Blundell et al., Weight Uncertainty in Neural Networks, ICML 2015, eq. 8.

    Example:
        >>> import torch
        >>> from hybrid.bayes.priors.normal import Normal
        >>> weights = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))
        >>> density = Normal().over({"weight": torch.zeros(1)})
        >>> bool(monte_carlo_divergence(density, torch.ones(1), lambda: weights).abs() < 0.01)
        True
    """
    surprisal = cast("PriorDensity", density).surprisal(draws()).mean()
    return surprisal - scale.log().sum() - scale.numel() * 0.5 * math.log(2 * math.pi * math.e)
