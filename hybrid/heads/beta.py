"""Beta head: shares and rates between 0 and 1 (floor 2)."""

import math

import pyro.distributions as dist
import torch
from jaxtyping import Float
from scipy.special import betaincinv
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.heads.incomplete_beta import incomplete_beta, root_with_slope, with_slope

__all__ = ["Beta", "BetaDistribution"]

_LEAST = 1e-2  # of both concentrations, so that no sample is 0 or 1 in single precision
_START = math.log(math.expm1(2.0))


class BetaDistribution(dist.Beta):
    """Beta distribution with its cumulative probability and quantiles.

    Args:
        concentration1: First concentration a, positive; the mean is a / (a + b).
        concentration0: Second concentration b, positive.
        validate_args: Check the arguments (as in torch; None for torch's default).

    Example:
        >>> law = BetaDistribution(torch.tensor(2.0), torch.tensor(3.0))
        >>> law.cdf(torch.tensor(0.5)), law.icdf(torch.tensor(0.6875))
        (tensor(0.6875), tensor(0.5000))
    """

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``."""
        x = value.double()
        fixed, a, b = x.detach(), self.concentration1, self.concentration0
        share = incomplete_beta(a, b, fixed, 1 - fixed)
        return with_slope(share, lambda: self._density(fixed), x).to(a.dtype)

    def icdf(self, value: Tensor) -> Tensor:
        """The value whose cumulative probability is ``value``."""
        a, b = self.concentration1, self.concentration0
        p = torch.as_tensor(value, device=a.device).double()
        arrays = (part.detach().double().cpu().numpy() for part in (a, b, p))
        start = torch.as_tensor(betaincinv(*arrays)).to(a.device)
        excess = incomplete_beta(a, b, start, 1 - start) - p
        found = root_with_slope(start, excess, self._density(start))
        return found.clamp(0.0, 1.0).to(a.dtype)

    def _density(self, x: Tensor) -> Tensor:
        inner = x.clamp(1e-300, 1 - 1e-16)
        a, b = self.concentration1.double(), self.concentration0.double()
        return dist.Beta(a, b, validate_args=False).log_prob(inner).exp()


class Beta(Head):
    r"""Beta law of shares: mean :math:`m(x) = \sigma(f)`, precision :math:`\varphi(x)`.

    .. math:: p(y \mid x) \propto y^{m \varphi - 1} (1 - y)^{(1 - m) \varphi - 1}

    Both depend on the context and start near 1/2 and 2 (uniform); 0.01 is added to each exponent's
    :math:`m \varphi`, :math:`(1 - m) \varphi`. Shares of exactly 0 or 1 have no finite density:
    move them inwards, or give zeros a hurdle, ``Hurdle(body, positive=Beta)``.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.

    Source: Ferrari & Cribari-Neto (2004), *Beta regression for modelling rates and proportions*,
    eq. 4.

    Example:
        >>> law = Beta(None)
        >>> law(torch.zeros(1, 0)).mean.detach().round(decimals=3)
        tensor([0.5000])
    """

    def __init__(
        self, body: nn.Module | None, *, features: int | None = None, event: int | None = None
    ) -> None:
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        super().__init__(attach(body, features, [0.0] * size + [_START] * size), shape)

    @property
    def support(self) -> constraints.Constraint:
        """Numbers from 0 to 1."""
        unit = constraints.unit_interval
        return constraints.independent(unit, 1) if self.event_shape else unit

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Beta distribution of a mean and a precision."""
        middle, precision = entries(raw, 2, self.event_shape)
        mass = F.softplus(precision)
        one, zero = torch.sigmoid(middle) * mass + _LEAST, torch.sigmoid(-middle) * mass + _LEAST
        return joined(BetaDistribution(one, zero, validate_args=False), self.event_shape)
