"""Normal weights with all their correlations (floor 3)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal.draws import standard_normal
from hybrid.bayes.flat import flattened
from hybrid.bayes.gaussian import GaussianSpread, checked_prior
from hybrid.bayes.priors.prior import Prior

__all__ = ["FullRank", "Triangular"]


@dataclasses.dataclass(frozen=True)
class FullRank:
    r"""Normal weights with any covariance, :math:`\Sigma = L L^T`, :math:`L = D (I + A)`.

    The means are the layer's own parameters, :math:`D = \mathrm{diag}(\mathrm{softplus}(\rho))`,
    and A is strictly lower triangular: the Cholesky factor with rows relative to D, which starts as
    independent weights. :math:`\log \det \Sigma = 2 \sum \log D_i`. A takes the square of the
    number of weights, and an optimiser such as Adam three times that beside it.

    Args:
        prior_scale: The normal prior's standard deviation, as in `MeanField`.
        scale: The initial standard deviations.
        prior: "zero", "initial" or a prior of `hybrid.bayes.priors`, as in `MeanField`.
        max_weights: The most weights of one layer or law; more are refused before anything is made.

    Raises:
        ValueError: A scale is not positive, ``prior`` is something else, or there are too many
            weights.

    Source: Titsias & Lázaro-Gredilla, Doubly stochastic variational Bayes for non-conjugate
    inference, ICML 2014, section 2.

    Example:
        >>> from hybrid.bayes.posterior import Posterior
        >>> Posterior(nn.Linear(3, 2), FullRank())(torch.zeros(7, 3), draws=5).shape
        torch.Size([5, 7, 2])
        >>> Posterior(nn.Linear(300, 200), FullRank())
        Traceback (most recent call last):
        ValueError: FullRank of 60200 weights needs a matrix of 14.5 GB (and an optimiser more): ...
    """

    prior_scale: float = 1.0
    scale: float = 0.02
    prior: Literal["zero", "initial"] | Prior = "zero"
    max_weights: int = 8192

    def __post_init__(self) -> None:
        checked_prior(self.prior, self.prior_scale, self.scale)

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        """Make the Cholesky factor of these means."""
        flat = flattened(value.detach() for value in means.values())
        if len(flat) > self.max_weights:
            size = len(flat) ** 2 * flat.element_size() / 1e9
            raise ValueError(
                f"FullRank of {len(flat)} weights needs a matrix of {size:.1f} GB (and an "
                f"optimiser more): above max_weights={self.max_weights}. Use LowRank(rank=…), make "
                "fewer weights random by include= or exclude=, or raise max_weights"
            )
        prior = checked_prior(self.prior, self.prior_scale, self.scale)
        density = prior.over(means, prior_scales)
        return GaussianSpread(means, self.scale, density, Triangular(flat))


class Triangular(nn.Module):
    r"""Noise :math:`\eta = (I + A) \epsilon` with A strictly lower triangular.

    Args:
        like: A vector with the length, dtype and device of the weights.

    Example:
        >>> Triangular(torch.zeros(3)).noise((5,), None).shape
        torch.Size([5, 3])
    """

    def __init__(self, like: Float[Tensor, "weights"]) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(len(like), len(like)).to(like))

    def noise(
        self, lead: tuple[int, ...], generator: torch.Generator | None
    ) -> Float[Tensor, "*lead weights"]:
        """Correlated noise η."""
        own = standard_normal((*lead, len(self.lower)), self.lower, generator)
        return own + own @ self.lower.tril(-1).mT

    def inflation(self) -> Float[Tensor, "weights"]:
        """Standard deviation of each entry of η."""
        return (1 + self.lower.tril(-1).square().sum(-1)).sqrt()

    def log_determinant(self) -> Float[Tensor, ""]:
        """Half the log determinant of η's covariance: 0, as I + A is unit triangular."""
        return self.lower.new_zeros(())
