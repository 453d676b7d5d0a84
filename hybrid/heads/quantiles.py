"""Quantile head: a law that is given by some of its quantiles (floor 2)."""

import itertools
from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.losses.scores import closed_crps

__all__ = ["Quantile", "QuantileDistribution"]

_LEAST_SHARE = 1e-3  # of a standard normal's gap


class QuantileDistribution(TorchDistribution):
    r"""Law with quantiles :math:`q_1 < \dots < q_k` at the levels :math:`\tau_1 < \dots < \tau_k`.

    Between them the quantile function is linear (the density constant). Beyond them, where nothing
    is known, both tails are exponential, with the density of the outermost piece at the outermost
    quantile: :math:`Q(p) = q_1 + \tau_1 s_1 \log(p / \tau_1)` for :math:`p < \tau_1`, where
    :math:`s_1 = (q_2 - q_1) / (\tau_2 - \tau_1)`, and likewise above.

    Args:
        knots: The quantiles ``(*batch, k)``, increasing.
        levels: Their k ≥ 2 levels, increasing, within (0, 1).
        validate_args: Check the arguments (as in torch; None for torch's default).

    Raises:
        ValueError: Levels or quantiles are not increasing, or their numbers differ.

    Example:
        >>> law = QuantileDistribution(torch.tensor([-1.0, 0.0, 2.0]), [0.25, 0.5, 0.75])
        >>> law.icdf(torch.tensor(0.5)), law.cdf(torch.tensor(1.0))
        (tensor(0.), tensor(0.6250))
        >>> law.log_prob(torch.tensor(1.0)).exp()
        tensor(0.1250)
    """

    arg_constraints: ClassVar = {}
    support = constraints.real
    has_rsample = True

    def __init__(
        self, knots: Tensor, levels: Sequence[float], validate_args: bool | None = None
    ) -> None:
        self.knots, self.levels = knots, _levels(levels)
        if len(self.levels) != knots.shape[-1]:
            raise ValueError(f"{knots.shape[-1]} quantiles for {len(self.levels)} levels")
        self._tau = torch.tensor(self.levels, dtype=knots.dtype, device=knots.device)
        self._slopes = knots.diff(dim=-1) / self._tau.diff()
        super().__init__(knots.shape[:-1], validate_args=validate_args)
        if self._validate_args and not bool((self._slopes > 0).all()):
            raise ValueError("quantiles must increase with their level in every row")

    def expand(
        self, batch_shape: Sequence[int], _instance: object = None
    ) -> "QuantileDistribution":
        """The same law for another batch shape."""
        knots = self.knots.expand(*batch_shape, -1)
        new = QuantileDistribution(knots, self.levels, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Quantiles of uniform ranks, with gradients."""
        shape = (*sample_shape, *self.batch_shape)
        rank = torch.rand(shape, dtype=self.knots.dtype, device=self.knots.device)
        return self.icdf(rank.clamp_min(torch.finfo(rank.dtype).tiny))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density: minus the log slope, less the distance beyond the outer quantiles."""
        if self._validate_args:
            self._validate_sample(value)
        value, piece = self._piece(value)
        below, above = self._tails()
        inner = -self._take(self._slopes, piece).log()
        under = (self.knots[..., 0] - value).clamp_min(0) / below
        over = (value - self.knots[..., -1]).clamp_min(0) / above
        return inner - under - over

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a value up to ``value``."""
        value, piece = self._piece(value)
        below, above = self._tails()
        first, last = self.knots[..., 0], self.knots[..., -1]
        start, level = self._take(self.knots, piece), self._take(self._tau, piece)
        inner = level + (value - start) / self._take(self._slopes, piece)
        under = self.levels[0] * torch.exp(-(first - value).clamp_min(0) / below)
        over = 1 - (1 - self.levels[-1]) * torch.exp(-(value - last).clamp_min(0) / above)
        return torch.where(value < first, under, torch.where(value > last, over, inner))

    def icdf(self, value: Tensor) -> Tensor:
        """The value whose cumulative probability is ``value``."""
        p = torch.as_tensor(value).to(self.knots)
        p = p.expand(torch.broadcast_shapes(p.shape, self.batch_shape))
        piece = (torch.bucketize(p.detach().contiguous(), self._tau) - 1).clamp(
            0, len(self.levels) - 2
        )
        below, above = self._tails()
        low, high = self.levels[0], 1 - self.levels[-1]
        start, level = self._take(self.knots, piece), self._take(self._tau, piece)
        inner = start + (p - level) * self._take(self._slopes, piece)
        under = self.knots[..., 0] + below * (p.clamp_max(low) / low).log()
        over = self.knots[..., -1] - above * ((1 - p).clamp_max(high) / high).log()
        return torch.where(p < low, under, torch.where(1 - p < high, over, inner))

    @property
    def mean(self) -> Tensor:
        """Integral of the quantile function."""
        below, above = self._tails()
        middle = (self.knots[..., 1:] + self.knots[..., :-1]) / 2
        tails = self.levels[0] * (self.knots[..., 0] - below)
        tails = tails + (1 - self.levels[-1]) * (self.knots[..., -1] + above)
        return (self._tau.diff() * middle).sum(-1) + tails

    @property
    def variance(self) -> Tensor:
        """Integral of the squared distance of the quantile function from the mean."""
        below, above = self._tails()
        q = self.knots - self.mean.unsqueeze(-1)
        low, high = q[..., :-1], q[..., 1:]
        inner = self._tau.diff() * (low.square() + low * high + high.square()) / 3
        first = self.levels[0] * ((q[..., 0] - below).square() + below.square())
        last = (1 - self.levels[-1]) * ((q[..., -1] + above).square() + above.square())
        return inner.sum(-1) + first + last

    def _tails(self) -> tuple[Tensor, Tensor]:
        """Mean lengths of the lower and the upper tail."""
        return self.levels[0] * self._slopes[..., 0], (1 - self.levels[-1]) * self._slopes[..., -1]

    def _piece(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The value with all axes, and the number of the piece it lies in (tails: the nearest)."""
        value = value.expand(torch.broadcast_shapes(value.shape, self.batch_shape))
        inside = (value.detach().unsqueeze(-1) >= self.knots[..., 1:-1]).sum(-1)
        return value, inside

    def _take(self, numbers: Tensor, piece: Tensor) -> Tensor:
        numbers = numbers.expand(*piece.shape, numbers.shape[-1])
        return numbers.gather(-1, piece.unsqueeze(-1)).squeeze(-1)


def _levels(levels: Sequence[float]) -> tuple[float, ...]:
    numbers = tuple(float(level) for level in levels)
    inside = all(0 < level < 1 for level in numbers)
    rising = all(a < b for a, b in itertools.pairwise(numbers))
    if len(numbers) < 2 or not (inside and rising):
        raise ValueError(f"levels are at least 2 rising numbers between 0 and 1, got {numbers}")
    return numbers


@closed_crps.register(QuantileDistribution)
def _crps(distribution: QuantileDistribution, y: Tensor) -> Tensor:
    """Integral of F² up to the value and of (1 − F)² from it, piece by piece."""
    d, y = distribution, y.expand(torch.broadcast_shapes(y.shape, distribution.batch_shape))
    low, high = d.knots[..., :-1], d.knots[..., 1:]
    start, end = d._tau[:-1], d._tau[1:]
    at = start + (y.unsqueeze(-1).clamp(low, high) - low) / d._slopes
    cubes = at**3 - start**3 + (1 - at) ** 3 - (1 - end) ** 3
    inner = (d._slopes * cubes / 3).sum(-1)
    below, above = d._tails()
    under = _tail_crps((d.knots[..., 0] - y).clamp_min(0), below, d.levels[0])
    over = _tail_crps((y - d.knots[..., -1]).clamp_min(0), above, 1 - d.levels[-1])
    return inner + under + over


def _tail_crps(beyond: Tensor, length: Tensor, mass: float) -> Tensor:
    """The same for an exponential tail of this mass, y lying ``beyond`` its inner end."""
    left = mass * torch.exp(-beyond / length)  # the probability still farther out
    return length * left.square() / 2 + _passed(beyond, length, mass, left)


def _passed(beyond: Tensor, length: Tensor, mass: float, left: Tensor) -> Tensor:
    return beyond - 2 * length * (mass - left) + length * (mass**2 - left.square()) / 2


class Quantile(Head):
    r"""Law by its quantiles at given levels, which never cross.

    The middle quantile is free, the others follow by positive gaps; at first they are those of the
    standard normal law. It is trained by likelihood like every law, or by `hybrid.losses.pinball`,
    which moves only the quantiles: the tails beyond the outermost levels are an extrapolation that
    follows them (see `QuantileDistribution`), so choose levels as far out as you ask for.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.
        levels: Increasing levels within (0, 1), at least two.

    Raises:
        ValueError: The levels are others.

    Source: Koenker & Bassett (1978), *Regression quantiles*; Park et al. (2022), *Learning quantile
    functions without quantile crossing*, section 3, for gaps and exponential tails.

    Example:
        >>> law = Quantile(torch.nn.Linear(3, 8), levels=[0.1, 0.5, 0.9])
        >>> law(torch.zeros(5, 3)).knots.shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        event: int | None = None,
        levels: Sequence[float] = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975),
    ) -> None:
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        self_levels = _levels(levels)
        normal = [NormalDist().inv_cdf(level) for level in self_levels]
        widths = torch.tensor(normal, dtype=torch.float64).diff()
        raw = torch.log(torch.expm1((1 - _LEAST_SHARE) * widths)).tolist()
        middle = len(normal) // 2
        start = [number for number in (normal[middle], *raw) for _ in range(size)]
        super().__init__(attach(body, features, start), shape)
        self.levels, self._middle = self_levels, middle
        self._least = tuple((_LEAST_SHARE * widths).tolist())

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real_vector if self.event_shape else constraints.real

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Quantile distribution of the middle quantile and the raw gaps."""
        middle, *rest = entries(raw, len(self.levels), self.event_shape)
        gaps = F.softplus(torch.stack(rest, -1)) + raw.new_tensor(self._least)
        reach = torch.cat([torch.zeros_like(gaps[..., :1]), gaps.cumsum(-1)], -1)
        reach = reach - reach[..., self._middle : self._middle + 1]
        knots = middle.unsqueeze(-1) + reach
        return joined(
            QuantileDistribution(knots, self.levels, validate_args=False), self.event_shape
        )
