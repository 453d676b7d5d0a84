"""Hurdle head: zero or not, and how much if not (floor 2)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.component import link_and_start
from hybrid.heads.coupling import couple_by_quantiles
from hybrid.heads.head import Head, attach, checking
from hybrid.heads.lognormal import LogNormal

__all__ = ["Hurdle", "HurdleDistribution"]


class HurdleDistribution(TorchDistribution):
    r"""Zero with probability :math:`1 - \pi`, else a positive value.

    The density is with respect to an atom at zero and lengths elsewhere. A law of counts is
    truncated: :math:`P(y) = \pi P_+(y) / (1 - P_+(0))` for y ≥ 1.

    Args:
        logits: Logit of the probability π of a value other than zero.
        positive: Law of such values, with the same batch shape: of positive numbers, or of counts
            that have ``cdf`` and ``icdf``.
        validate_args: Check the values (as in torch; None for torch's default).

    Raises:
        ValueError: ``positive`` is a law of vectors.

    Example:
        >>> import pyro.distributions as dist
        >>> law = HurdleDistribution(torch.zeros(2), dist.LogNormal(torch.zeros(2), 1.0))
        >>> law.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.5000, 0.1995])
        >>> law.cdf(torch.tensor([0.0, 1.0]))
        tensor([0.5000, 0.7500])
    """

    arg_constraints: ClassVar = {"logits": constraints.real}
    has_rsample = False

    def __init__(self, logits: Tensor, positive: Any, validate_args: bool | None = None) -> None:
        if positive.event_shape:
            raise ValueError("a hurdle is for scalars, the positive law is of vectors")
        self.logits, self.positive = logits, positive
        self._counts = bool(positive.support.is_discrete)
        self._inside = 1.0 if self._counts else 0.5  # a value that every positive law can have
        shape = torch.broadcast_shapes(logits.shape, positive.batch_shape)
        super().__init__(shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Numbers, or whole numbers, from 0."""
        return constraints.nonnegative_integer if self._counts else constraints.nonnegative

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "HurdleDistribution":
        """The same law for another batch shape."""
        shape = torch.Size(batch_shape)
        new = HurdleDistribution(
            self.logits.expand(shape), self.positive.expand(shape), validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Zeros and positive values."""
        with torch.no_grad():
            shape = torch.Size((*sample_shape, *self.batch_shape))
            like = self.logits
            over = torch.rand(shape, dtype=like.dtype, device=like.device) < like.sigmoid()
            if self._counts:
                rank = torch.rand(shape, dtype=torch.float64, device=like.device)
                value = self._truncated(rank)
            else:
                value = self.positive.expand(self.batch_shape).sample(torch.Size(sample_shape))
            return torch.where(over, value, torch.zeros_like(value))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log probability of zero, log density or log probability of other values."""
        if self._validate_args:
            self._validate_sample(value)
        zero = value == 0
        safe = torch.where(zero, torch.full_like(value, self._inside), value)
        log = self.positive.log_prob(safe) - self._log_positive() + F.logsigmoid(self.logits)
        return torch.where(zero, F.logsigmoid(-self.logits), log)

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``."""
        over = self.logits.sigmoid()
        known = (1 - over) + over * self._share(value)
        return torch.where(value < 0, torch.zeros_like(known), known)

    def icdf(self, value: Tensor) -> Tensor:
        """Smallest value whose cumulative probability is at least ``value``."""
        p = torch.as_tensor(value, device=self.logits.device)
        over = self.logits.sigmoid()
        share = ((p - (1 - over)) / over).clamp(0.0, 1.0)
        inside = share > 0
        safe = torch.where(inside, share, torch.full_like(share, 0.5))
        found = self._truncated(safe) if self._counts else self.positive.icdf(safe)
        return torch.where(inside, found, torch.zeros_like(found))

    @property
    def mean(self) -> Tensor:
        """Mean of the whole law."""
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        """Variance of the whole law."""
        return self._moments()[1]

    def _moments(self) -> tuple[Tensor, Tensor]:
        over = self.logits.sigmoid() / self._log_positive().exp()
        mean, variance = self.positive.mean, self.positive.variance
        whole = over * mean
        return whole, over * variance + mean * whole - whole.square()

    def _log_positive(self) -> Tensor:
        """Log of the probability that the positive law gives to values other than 0."""
        if not self._counts:
            return torch.zeros_like(self.logits)
        none = self.positive.log_prob(torch.zeros_like(self.logits))
        return torch.log(-torch.expm1(none))

    def _share(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``, given that it is positive."""
        if not self._counts:
            over = value > 0
            known = self.positive.cdf(
                torch.where(over, value, torch.full_like(value, self._inside))
            )
            return torch.where(over, known, torch.zeros_like(known))
        none = self.positive.log_prob(torch.zeros_like(self.logits)).exp()
        return ((self.positive.cdf(value) - none) / (1 - none)).clamp(0.0, 1.0)

    def _truncated(self, rank: Tensor) -> Tensor:
        """Quantile of counts given that they are positive."""
        none = self.positive.log_prob(torch.zeros_like(self.logits)).exp().double()
        found = self.positive.icdf(none + rank.double() * (1 - none))
        return found.clamp_min(1.0)


def _ranks(distribution: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    value = value.double()
    high = distribution.cdf(value).double()
    if distribution.support.is_discrete:
        return distribution.cdf(value - 1).double(), high
    atom = torch.where(
        value == 0, torch.zeros_like(high), torch.nextafter(high, torch.zeros_like(high))
    )
    return atom, high


couple_by_quantiles(HurdleDistribution, _ranks, lambda law, rank: law.icdf(rank))


class Hurdle(Head):
    r"""Hurdle law: :math:`P(y \ne 0 \mid x) = \sigma(f(x))`, and a law of the values other than 0.

    Both parts depend on the context and share the body. Earnings, rain, spending: much of it zero,
    the rest skewed.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        positive: Makes the law of positive values from a body: `LogNormal`, or `Poisson` and
            `NegativeBinomial`, which are truncated at zero.

    Raises:
        TypeError: ``positive`` does not make a head.
        ValueError: It makes a law of vectors, or one of values below zero.

    Source: Cragg (1971), *Some statistical models for limited dependent variables*, eq. 7–9;
    Mullahy (1986), *Specification and testing of some modified count data models*, for counts.

    Example:
        >>> law = Hurdle(torch.nn.Linear(3, 8))
        >>> law(torch.zeros(5, 3)).log_prob(torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0])).shape
        torch.Size([5])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        positive: Callable[..., Head] = LogNormal,
    ) -> None:
        inner, start = link_and_start(positive)
        if inner.event_shape:
            raise ValueError("a hurdle is for scalars: make the positive law without event=")
        if bool(inner.support.check(torch.tensor(-1.0))):
            raise ValueError(
                f"{type(inner).__name__} has values below zero: the positive law of a hurdle is "
                "LogNormal, Poisson, NegativeBinomial, or a head of your own with positive support"
            )
        super().__init__(attach(body, features, [0.0, *start]))
        self.positive = inner

    @property
    def support(self) -> constraints.Constraint:
        """Numbers, or whole numbers, from 0."""
        counts = self.positive.support.is_discrete
        return constraints.nonnegative_integer if counts else constraints.nonnegative

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Hurdle of a logit and the positive law's numbers."""
        positive: Any = self.positive.link(raw[..., 1:])
        positive._validate_args = False  # values are checked by the whole
        return checking(HurdleDistribution(raw[..., 0], positive, validate_args=False))
