"""Heads of counts 0, 1, 2, …: Poisson and negative binomial (floor 2)."""

import math
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.coupling import couple_by_quantiles
from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.heads.incomplete_beta import incomplete_beta

__all__ = [
    "NegativeBinomial",
    "NegativeBinomialDistribution",
    "Poisson",
    "PoissonDistribution",
    "smallest_count",
]

_LARGEST_LOG = 30.0  # of a rate: beyond it single precision is lost anyway
_LEAST_SIZE = 1e-3
_UNIT_SIZE = math.log(math.expm1(1 - _LEAST_SIZE))
_MOST = 2**52


def smallest_count(cdf: Callable[[Tensor], Tensor], probability: Tensor) -> Tensor:
    """The smallest whole number from 0 whose cumulative probability is at least ``probability``.

    Doubles an upper bound until it is reached, then halves the interval.

    Args:
        cdf: Cumulative probability of whole numbers (float64).
        probability: Probabilities below 1, of the shape that ``cdf`` returns; 1 gives infinity.

    Example:
        >>> smallest_count(lambda k: 1 - 0.5 ** (k + 1), torch.tensor([0.2, 0.5, 0.6, 0.9]))
        tensor([0., 0., 1., 3.], dtype=torch.float64)
    """
    p = probability.detach().double()
    low, high = torch.full_like(p, -1.0), torch.zeros_like(p)
    reached = cdf(high) >= p
    while not bool((reached | (high >= _MOST)).all()):
        low = torch.where(reached, low, high)
        high = torch.where(reached, high, 2 * high + 1)
        reached = cdf(high) >= p
    while bool((apart := high - low > 1).any()):
        middle = torch.floor((low + high) / 2)
        enough = cdf(middle) >= p
        low = torch.where(apart & ~enough, middle, low)
        high = torch.where(apart & enough, middle, high)
    return high.masked_fill((p >= 1) | ~reached, math.inf)


class PoissonDistribution(dist.Poisson):
    """Poisson distribution with its cumulative probability and quantiles.

    Args:
        rate: The mean, positive.
        validate_args: Check the arguments (as in torch; None for torch's default).

    Example:
        >>> law = PoissonDistribution(torch.tensor(2.0))
        >>> law.cdf(torch.tensor(1.0)), law.icdf(torch.tensor(0.5))
        (tensor(0.4060), tensor(2.))
    """

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a count up to ``value``."""
        return _from_zero(self.reached, value).to(self.rate.dtype)

    def icdf(self, value: Tensor) -> Tensor:
        """The smallest count whose cumulative probability is at least ``value``."""
        p = torch.as_tensor(value, device=self.rate.device)
        p = p.expand(torch.broadcast_shapes(p.shape, self.rate.shape))
        with torch.no_grad():
            return smallest_count(self.reached, p).to(self.rate.dtype)

    def reached(self, count: Tensor) -> Tensor:
        """P(Y ≤ count) of whole numbers from 0, float64."""
        return torch.special.gammaincc(count + 1, self.rate.double())


class NegativeBinomialDistribution(dist.NegativeBinomial):
    """Negative binomial distribution with its cumulative probability and quantiles.

    Args:
        total_count: Size r, positive (the inverse of the dispersion).
        probs: Probability of success p; or
        logits: its logit, which is log(mean / r).
        validate_args: Check the arguments (as in torch; None for torch's default).

    Example:
        >>> law = NegativeBinomialDistribution(torch.tensor(1.0), probs=torch.tensor(0.5))
        >>> law.cdf(torch.tensor(1.0)), law.icdf(torch.tensor(0.8))
        (tensor(0.7500), tensor(2.))
    """

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a count up to ``value``."""
        return _from_zero(self.reached, value).to(self.logits.dtype)

    def icdf(self, value: Tensor) -> Tensor:
        """The smallest count whose cumulative probability is at least ``value``."""
        p = torch.as_tensor(value, device=self.logits.device)
        p = p.expand(torch.broadcast_shapes(p.shape, self.batch_shape))
        with torch.no_grad():
            return smallest_count(self.reached, p).to(self.logits.dtype)

    def reached(self, count: Tensor) -> Tensor:
        """P(Y ≤ count) = I_{1 − p}(r, count + 1) of whole numbers from 0, float64."""
        logits = self.logits.double()
        success, failure = torch.sigmoid(logits), torch.sigmoid(-logits)
        return incomplete_beta(self.total_count, count + 1, failure, success)


def _from_zero(reached: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    count = value.detach().double().floor()
    known = reached(count.clamp_min(0))
    return torch.where(count < 0, torch.zeros_like(known), known)


def _ranks(distribution: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    below = _from_zero(distribution.reached, value - 1)
    return below, _from_zero(distribution.reached, value)


def _quantile(distribution: Any, rank: Tensor) -> Tensor:
    with torch.no_grad():
        shape = torch.broadcast_shapes(rank.shape, distribution.batch_shape)
        return smallest_count(distribution.reached, rank.expand(shape))


couple_by_quantiles(PoissonDistribution, _ranks, _quantile)
couple_by_quantiles(NegativeBinomialDistribution, _ranks, _quantile)


class Poisson(Head):
    r"""Poisson law of counts with :math:`E[y \mid x] = \mathrm{Var}(y \mid x) = e^{f(x)}`.

    The rate starts near 1. Where the variance exceeds the mean, use `NegativeBinomial`.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.

    Example:
        >>> law = Poisson(torch.nn.Linear(3, 8))
        >>> law(torch.zeros(5, 3)).log_prob(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])).shape
        torch.Size([5])
    """

    def __init__(
        self, body: nn.Module | None, *, features: int | None = None, event: int | None = None
    ) -> None:
        shape = vector_shape(event)
        super().__init__(attach(body, features, [0.0] * (shape[0] if shape else 1)), shape)

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers from 0."""
        return _counts(bool(self.event_shape))

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Poisson distribution of a log rate."""
        (log_rate,) = entries(raw, 1, self.event_shape)
        rate = log_rate.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()
        return joined(PoissonDistribution(rate, validate_args=False), self.event_shape)


class NegativeBinomial(Head):
    r"""Negative binomial law of counts with mean :math:`\mu(x)` and variance :math:`\mu + \mu^2/r`.

    The mean is :math:`e^{f(x)}`, the size r(x) softplus + 1e-3; both depend on the context and
    start near 1. As r grows the law becomes Poisson's.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.

    Source: Cameron & Trivedi (2013), *Regression analysis of count data*, 2nd edition, section
    3.3.1 (NB2).

    Example:
        >>> law = NegativeBinomial(torch.nn.Linear(3, 8))
        >>> distribution = law(torch.zeros(5, 3))
        >>> bool((distribution.variance > distribution.mean).all())
        True
    """

    def __init__(
        self, body: nn.Module | None, *, features: int | None = None, event: int | None = None
    ) -> None:
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        super().__init__(attach(body, features, [0.0] * size + [_UNIT_SIZE] * size), shape)

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers from 0."""
        return _counts(bool(self.event_shape))

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Negative binomial distribution of a log mean and a positive size."""
        log_mean, raw_size = entries(raw, 2, self.event_shape)
        size = F.softplus(raw_size) + _LEAST_SIZE
        logits = log_mean.clamp(-_LARGEST_LOG, _LARGEST_LOG) - size.log()
        distribution: Any = NegativeBinomialDistribution(size, logits=logits, validate_args=False)
        return joined(distribution, self.event_shape)


def _counts(vector: bool) -> constraints.Constraint:
    whole = constraints.nonnegative_integer
    return constraints.independent(whole, 1) if vector else whole
