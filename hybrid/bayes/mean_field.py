"""Independent normal weights, the mean-field family (floor 3)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from torch import nn

from hybrid.bayes.gaussian import GaussianSpread, checked_prior
from hybrid.bayes.priors.prior import Prior

__all__ = ["MeanField"]


@dataclasses.dataclass(frozen=True)
class MeanField:
    r"""Independent normal weights :math:`w \sim N(\mu, \sigma^2)`.

    The means μ are the layer's own parameters; :math:`\sigma = \mathrm{softplus}(\rho)` has one
    parameter ρ per weight. Draws are reparameterised; with a normal prior :math:`N(m, s^2)` the
    divergence is in closed form:

    .. math:: KL = \sum \log(s/\sigma) + \frac{\sigma^2 + (\mu - m)^2}{2 s^2} - \frac12 .

    Args:
        prior_scale: The normal prior's s; a layer may state another for its own parameters by an
            attribute ``prior_scale`` or ``prior_scales`` (parameter name → number), as circuits do
            with π for angles.
        scale: The initial σ.
        prior: The normal prior's mean m, "zero" or the parameters' "initial" values; or any prior
            of `hybrid.bayes.priors`, which says its own scales.

    Raises:
        ValueError: A scale is not positive, or ``prior`` is something else.

    Source: Blundell et al., Weight Uncertainty in Neural Networks, ICML 2015, section 3.2.

    Example:
        >>> MeanField(prior_scale=0.5)
        MeanField(prior_scale=0.5, scale=0.02, prior='zero')
    """

    prior_scale: float = 1.0
    scale: float = 0.02
    prior: Literal["zero", "initial"] | Prior = "zero"

    def __post_init__(self) -> None:
        checked_prior(self.prior, self.prior_scale, self.scale)

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        """Make the scales of these means."""
        prior = checked_prior(self.prior, self.prior_scale, self.scale)
        return GaussianSpread(means, self.scale, prior.over(means, prior_scales), None)
