"""Student's t head: robust against outliers (floor 2)."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F
from torch.special import ndtr, ndtri

from causal.noise import abduct, replay
from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.heads.incomplete_beta import incomplete_beta, root_with_slope, with_slope
from hybrid.heads.normal import SMALLEST_SCALE, UNIT_SCALE

__all__ = ["Student", "StudentT"]

_START = math.log(math.expm1(3.0))  # the degrees of freedom start at 1 + 3


class StudentT(dist.StudentT):
    r"""Student's t distribution with its cumulative probability and quantiles.

    .. math:: F(t) = 1 - \tfrac12 I_{\nu / (\nu + t^2)}(\tfrac\nu2, \tfrac12), \qquad t \ge 0

    Args:
        df: Degrees of freedom ν, positive.
        loc: Location.
        scale: Scale, positive.
        validate_args: Check the arguments (as in torch; None for torch's default).

    Example:
        >>> law = StudentT(torch.tensor(1.0), 0.0, 1.0)
        >>> law.cdf(torch.tensor(1.0)), law.icdf(torch.tensor(0.75))
        (tensor(0.7500), tensor(1.))
    """

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``."""
        t = (value - self.loc) / self.scale
        below = _lower_tail(t.abs(), self.df)
        return torch.where(t < 0, below, 1 - below).to(self.loc.dtype)

    def icdf(self, value: Tensor) -> Tensor:
        """The value whose cumulative probability is ``value``."""
        p = torch.as_tensor(value, device=self.loc.device)
        # Through the nearer tail, so that the upper one keeps its digits.
        distance = -_lower_quantile(torch.minimum(p, 1 - p), self.df)
        t = torch.where(p < 0.5, -distance, distance).to(self.loc.dtype)
        return self.loc + self.scale * t


def _lower_tail(t: Tensor, df: Tensor) -> Tensor:
    """P(T < −t) for t ≥ 0, float64."""
    t, nu = t.double(), df.double()
    fixed = t.detach()
    whole = nu + fixed.square()
    tail = 0.5 * incomplete_beta(nu / 2, torch.full_like(nu, 0.5), nu / whole, fixed**2 / whole)
    return with_slope(tail, lambda: -_density(fixed, nu), t)


def _density(t: Tensor, df: Tensor) -> Tensor:
    return dist.StudentT(df, validate_args=False).log_prob(t).exp()


def _lower_quantile(p: Tensor, df: Tensor) -> Tensor:
    """The t ≤ 0 with P(T < t) = p, float64."""
    p, nu = torch.broadcast_tensors(p.double(), df.double())
    start = torch.as_tensor(stdtrit(nu.detach().cpu().numpy(), p.detach().cpu().numpy()))
    start = start.to(nu.device).clamp_max(0.0)
    return root_with_slope(start, _lower_tail(-start, nu) - p, _density(start, nu))


@abduct.register(StudentT)
def _noise(distribution: StudentT, value: Tensor) -> Tensor:
    # On the normal scale, which means the same for every df.
    t = (value - distribution.loc) / distribution.scale
    z = -ndtri(_lower_tail(t.abs(), distribution.df)).to(t.dtype)
    return torch.where(t < 0, -z, z)


@replay.register(StudentT)
def _value(distribution: StudentT, noise: Tensor) -> Tensor:
    distance = -_lower_quantile(ndtr(-noise.abs().double()), distribution.df).to(noise.dtype)
    t = torch.where(noise < 0, -distance, distance)
    return distribution.loc + distribution.scale * t


class Student(Head):
    r"""Student's law :math:`p(y \mid x) = t_{\nu(x)}(\mu(x), \sigma(x)^2)`, of outlying data.

    Location, scale and, unless it is given, the degrees of freedom :math:`\nu = 1 +
    \mathrm{softplus}` depend on the context; they start near 0, 1 and 4. The variance is infinite
    where ν ≤ 2.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.
        df: The degrees of freedom ν as a number; None to learn them.

    Raises:
        ValueError: ``df`` is not positive.

    Source: Lange, Little & Taylor (1989), *Robust statistical modeling using the t distribution*.

    Example:
        >>> law = Student(torch.nn.Linear(3, 8), df=4.0)
        >>> law(torch.zeros(5, 3)).log_prob(torch.zeros(5)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        event: int | None = None,
        df: float | None = None,
    ) -> None:
        if df is not None and not df > 0:
            raise ValueError(f"df must be positive, or None to learn it: got {df}")
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        start = [0.0] * size + [UNIT_SCALE] * size + ([_START] * size if df is None else [])
        super().__init__(attach(body, features, start), shape)
        self.df = None if df is None else float(df)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real_vector if self.event_shape else constraints.real

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Student's distribution of a location, a positive scale and the degrees of freedom."""
        parts: Any = entries(raw, 2 if self.df is not None else 3, self.event_shape)
        location, scale = parts[0], F.softplus(parts[1]) + SMALLEST_SCALE
        df = torch.full_like(location, self.df) if self.df else 1 + F.softplus(parts[2])
        return joined(StudentT(df, location, scale, validate_args=False), self.event_shape)
