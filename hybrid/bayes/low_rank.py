"""Normal weights with a few directions of correlation (floor 3)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal.draws import standard_normal
from hybrid.bayes.flat import flattened
from hybrid.bayes.gaussian import GaussianSpread, checked_prior
from hybrid.bayes.priors.prior import Prior

__all__ = ["LowRank"]


@dataclasses.dataclass(frozen=True)
class LowRank:
    r"""Normal weights with covariance :math:`\Sigma = D (I + F F^T) D`, diagonal plus low rank.

    The means are the layer's own parameters, :math:`D = \mathrm{diag}(\mathrm{softplus}(\rho))`,
    and the factors F ``(weights, rank)`` are relative to D. A draw costs as much as ``rank + 1``
    independent ones; :math:`\log \det \Sigma = 2 \sum \log D_i + \log \det(I + F^T F)` by the
    matrix determinant lemma, so that nothing larger than F is ever made. With ``rank`` equal to the
    number of weights any covariance is reached.

    Args:
        rank: Columns of F; the number of weights where they are fewer.
        prior_scale: The normal prior's standard deviation, as in `MeanField`.
        scale: The initial standard deviations, up to the small random start of F (torch's global
            generator, as layers are initialised).
        prior: "zero", "initial" or a prior of `hybrid.bayes.priors`, as in `MeanField`.

    Raises:
        ValueError: The rank is below 1, a scale is not positive, or ``prior`` is something else.

    Source: Ong, Nott & Smith, Gaussian variational approximation with a factor covariance
    structure, JCGS 2018, section 3.1; here with factors relative to the diagonal.

    Example:
        >>> from hybrid.bayes.posterior import Posterior
        >>> posterior = Posterior(nn.Linear(3, 2), LowRank(rank=2))
        >>> posterior(torch.zeros(7, 3), draws=5).shape
        torch.Size([5, 7, 2])
        >>> posterior.spread.mixing.factors.shape
        torch.Size([8, 2])
    """

    rank: int
    prior_scale: float = 1.0
    scale: float = 0.02
    prior: Literal["zero", "initial"] | Prior = "zero"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        checked_prior(self.prior, self.prior_scale, self.scale)

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        """Make the scales and factors of these means."""
        prior = checked_prior(self.prior, self.prior_scale, self.scale)
        flat = flattened(value.detach() for value in means.values())
        mixing = _Factors(flat, min(self.rank, len(flat)))
        return GaussianSpread(means, self.scale, prior.over(means, prior_scales), mixing)


class _Factors(nn.Module):
    r"""Noise :math:`\eta = \epsilon + F \zeta` of two independent standard ones."""

    def __init__(self, like: Float[Tensor, "weights"], rank: int) -> None:
        super().__init__()
        start = torch.randn(len(like), rank, dtype=like.dtype, device=like.device)
        self.factors = nn.Parameter(0.1 / math.sqrt(rank) * start)  # not 0: a saddle

    def noise(
        self, lead: tuple[int, ...], generator: torch.Generator | None
    ) -> Float[Tensor, "*lead weights"]:
        weights, rank = self.factors.shape
        both = standard_normal((*lead, weights + rank), self.factors, generator)
        own, shared = both.split([weights, rank], -1)
        return own + shared @ self.factors.mT

    def inflation(self) -> Float[Tensor, "weights"]:
        return (1 + self.factors.square().sum(-1)).sqrt()

    def log_determinant(self) -> Float[Tensor, ""]:
        small = self.factors.mT @ self.factors
        small = small + torch.eye(len(small), dtype=small.dtype, device=small.device)
        whole = small.to(torch.promote_types(small.dtype, torch.float32))  # none in half precision
        return torch.linalg.cholesky(whole).diagonal().log().sum().to(small.dtype)
