r"""A normal variable seen only between two limits (floor 2).

With :math:`Z \sim N(0, 1)`, :math:`a, b` the limits in units of the scale around the location and
:math:`G(t) = E[(Z - t)_+]`, :math:`H(t) = E[(Z - t)_+^2]`, moments are sums of small positive terms
around the location clamped to the limits, so that tails do not cancel.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all
from torch.special import erfcx, log_ndtr, ndtr, ndtri

from causal.draws import uniform
from causal.noise import abduct, replay
from hybrid.losses.scores import closed_crps

__all__ = ["Censored"]

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)


class Censored(TorchDistribution):
    r"""Law of :math:`y = \min(\max(x, l), u)` with :math:`x \sim N(\mu, \sigma^2)`.

    The limits are atoms: :math:`P(y = l) = \Phi((l - \mu) / \sigma)`,
    :math:`P(y = u) = \Phi((\mu - u) / \sigma)` (Tobin 1958, *Estimation of relationships for
    limited dependent variables*); between them the density is the normal one. Limits may be
    infinite and differ by row. Samples are reparameterised: a gradient through them is right for
    continuous functions of the value (not for ``log_prob``, which jumps at the atoms).

    Args:
        loc: Location μ.
        scale: Scale σ, positive.
        lower: Lower limit l, below the upper one; a tensor that broadcasts to ``loc``, or a number.
        upper: Upper limit u.
        validate_args: Check the arguments (as in torch; None for torch's default).

    Raises:
        ValueError: A lower limit is not below its upper limit.

    Example:
        >>> law = Censored(torch.zeros(2), torch.ones(2), lower=0.0)
        >>> law.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.5000, 0.2420])
        >>> law.mean
        tensor([0.3989, 0.3989])
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "lower": constraints.dependent,
        "upper": constraints.dependent,
    }
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        lower: Tensor | float = -math.inf,
        upper: Tensor | float = math.inf,
        validate_args: bool | None = None,
    ) -> None:
        middle, spread = broadcast_all(loc, scale)
        low, high = (
            torch.as_tensor(limit, dtype=middle.dtype, device=middle.device)
            for limit in (lower, upper)
        )
        parts = torch.broadcast_tensors(middle, spread, low, high)
        self.loc, self.scale, self.lower, self.upper = parts
        super().__init__(self.loc.shape, validate_args=validate_args)
        if self._validate_args and not (low < high).all():
            raise ValueError(f"lower limits must be below upper limits: {lower}, {upper}")

    @property
    def support(self) -> constraints.Constraint:
        """From the lower to the upper limit."""
        return constraints.interval(self.lower, self.upper)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Censored":
        """The same law for another batch shape."""
        shape = torch.Size(batch_shape)
        loc, scale = self.loc.expand(shape), self.scale.expand(shape)
        lower, upper = self.lower.expand(shape), self.upper.expand(shape)
        return Censored(loc, scale, lower, upper, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Clamped normal samples."""
        shape = (*sample_shape, *self.batch_shape)
        return self.value_of(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))

    def value_of(self, noise: Tensor) -> Tensor:
        """The value that standard normal ``noise`` becomes: ``clamp(loc + scale * noise)``."""
        return torch.clamp(self.loc + self.scale * noise, self.lower, self.upper)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density between the limits, log probability on them, −∞ beyond them."""
        if self._validate_args:
            self._validate_sample(value)
        low, high = value <= self.lower, value >= self.upper
        inside = ~(low | high)
        z = (torch.where(inside, value, self.loc.detach()) - self.loc) / self.scale
        density = -0.5 * z.square() - self.scale.log() - _LOG_ROOT_TWO_PI
        result = torch.where(low, log_ndtr(self._standard(self.lower, low)), density)
        result = torch.where(high, log_ndtr(-self._standard(self.upper, high)), result)
        return result.masked_fill((value < self.lower) | (value > self.upper), -torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``."""
        probability = ndtr((value - self.loc) / self.scale)
        probability = torch.where(value >= self.upper, torch.ones_like(probability), probability)
        return torch.where(value < self.lower, torch.zeros_like(probability), probability)

    def icdf(self, value: Tensor) -> Tensor:
        """Smallest value whose cumulative probability is at least ``value``."""
        return self.value_of(ndtri(value))

    @property
    def mean(self) -> Tensor:
        r"""Centre plus :math:`\sigma (G(|a|) - G(|b|))`, the centre being the clamped location."""
        centre = torch.clamp(self.loc, self.lower, self.upper)
        return centre + self.scale * self._shift()

    @property
    def variance(self) -> Tensor:
        """Second moment around the centre less the squared distance of the mean from it."""
        low, high = self.lower > -torch.inf, self.upper < torch.inf
        a, b = self._standard(self.lower, low), self._standard(self.upper, high)
        first = torch.where(low, _excess(a.abs()), torch.zeros_like(a))
        last = torch.where(high, _excess(b.abs()), torch.zeros_like(b))
        second_low = torch.where(low, _squared_excess(a.abs()), torch.zeros_like(a))
        second_high = torch.where(high, _squared_excess(b.abs()), torch.zeros_like(b))
        width = torch.where(low & high, b - a, torch.zeros_like(a))
        within = 1 - second_low - 2 * a.abs() * first - second_high - 2 * b.abs() * last
        above = second_low - second_high - 2 * width * last  # both limits above the location
        below = second_high - second_low - 2 * width * first
        moment = torch.where(low & (a >= 0), above, within)
        moment = torch.where(high & (b <= 0), below, moment)
        return self.scale.square() * (moment - (first - last).square()).clamp_min(0)

    def _shift(self) -> Tensor:
        low, high = self.lower > -torch.inf, self.upper < torch.inf
        first = _excess(self._standard(self.lower, low).abs())
        last = _excess(self._standard(self.upper, high).abs())
        zero = torch.zeros_like(first)
        return torch.where(low, first, zero) - torch.where(high, last, zero)

    def _standard(self, limit: Tensor, where: Tensor) -> Tensor:
        """``limit`` in units of the scale around the location; 0 (no gradient) elsewhere."""
        safe = torch.where(where, limit, self.loc.detach())
        return torch.where(where, (safe - self.loc) / self.scale, torch.zeros_like(self.loc))


def _mills(t: Tensor) -> Tensor:
    """Mills ratio P(Z > t) / φ(t)."""
    return math.sqrt(math.pi / 2) * erfcx(t / math.sqrt(2))


def _density(t: Tensor) -> Tensor:
    return torch.exp(-0.5 * t.square() - _LOG_ROOT_TWO_PI)


def _excess(t: Tensor) -> Tensor:
    """G(t) = φ(t) − t P(Z > t) for t ≥ 0."""
    return _density(t) * (1 - t * _mills(t))


def _squared_excess(t: Tensor) -> Tensor:
    """H(t) = (1 + t²) P(Z > t) − t φ(t) for t ≥ 0."""
    return _density(t) * ((1 + t.square()) * _mills(t) - t).clamp_min(0)


def _below(limit: Tensor, share: Tensor) -> Tensor:
    """The value z of a standard normal variable given z ≤ limit at rank ``share`` in (0, 1]."""
    shallow = limit.clamp_min(-4.0)
    plain = ndtri((share * ndtr(shallow)).clamp_max(0.5))
    # In the upper half through the complement: P(Z > z) = (1 − share) + share P(Z > limit).
    rest = (1 - share) + share * ndtr(-shallow)
    plain = torch.where(share * ndtr(shallow) < 0.5, plain, -ndtri(rest))
    # In the deep tail: Newton's iteration on log P(Z ≤ z), concave, from the left of the root.
    deep = limit.clamp_max(-4.0)
    target = share.log() + log_ndtr(deep)
    z = -torch.sqrt(deep.square() - 2 * share.log())
    for _ in range(6):
        z = z - (log_ndtr(z) - target) * _mills(-z)
    return torch.minimum(torch.where(limit < -4.0, z, plain), limit)


@abduct.register(Censored)
def _noise(
    distribution: Censored, value: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Exact between the limits; on a limit, a draw from the noise's law beyond it."""
    if ((value < distribution.lower) | (value > distribution.upper)).any():
        raise ValueError(
            "evidence lies beyond the limits of its censored law in at least one row: check the "
            "limits' units"
        )
    d = distribution
    share = 1 - uniform(torch.broadcast_shapes(value.shape, d.loc.shape), d.loc, generator)
    low, high = value <= d.lower, value >= d.upper
    under = _below(d._standard(d.lower, low), share)
    over = -_below(-d._standard(d.upper, high), share)
    exact = (torch.where(low | high, d.loc, value) - d.loc) / d.scale
    return torch.where(low, under, torch.where(high, over, exact))


@replay.register(Censored)
def _value(distribution: Censored, noise: Tensor) -> Tensor:
    return distribution.value_of(noise)


@closed_crps.register(Censored)
def _crps(distribution: Censored, y: Tensor) -> Tensor:
    """Integral of Φ² up to the value and of (1 − Φ)² from it, between the limits."""
    d = distribution
    low, high = d.lower > -torch.inf, d.upper < torch.inf
    z = (torch.clamp(y, d.lower, d.upper) - d.loc) / d.scale
    zero = torch.zeros_like(z)
    first = torch.where(low, _squared_area(d._standard(d.lower, low)), zero)
    last = torch.where(high, _squared_area(-d._standard(d.upper, high)), zero)
    return d.scale * (_squared_area(z) - first + _squared_area(-z) - last)


def _squared_area(z: Tensor) -> Tensor:
    """Integral of Φ(x)² for x up to z."""
    below = ndtr(z)
    return (
        z * below.square() + 2 * below * _density(z) - ndtr(math.sqrt(2) * z) / math.sqrt(math.pi)
    )
