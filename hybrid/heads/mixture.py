"""Mixture density head: several modes (floor 2)."""

from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
import torch
import torch.distributions as td
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from hybrid.heads.component import link_and_start
from hybrid.heads.head import Head, attach, checking
from hybrid.heads.incomplete_beta import root_with_slope
from hybrid.heads.normal import Normal
from hybrid.normal_density import HALF_LOG_TAU, is_plain_normal, squares_and_logs

__all__ = ["Mixture", "MixtureDensity"]


class Mixture(dist.MixtureSameFamily):
    """Mixture of distributions of one family, with quantiles where it is of scalars.

    Args:
        mixture_distribution: Categorical with the weights of k components.
        component_distribution: Distributions whose last batch axis is the components.
        validate_args: Check the arguments (as in torch; None for torch's default).

    Example:
        >>> weights = dist.Categorical(torch.tensor([0.5, 0.5]))
        >>> law = Mixture(weights, dist.Normal(torch.tensor([-3.0, 3.0]), 1.0))
        >>> law.mean, law.icdf(torch.tensor(0.25)).round(decimals=2)
        (tensor(0.), tensor(-3.))
    """

    _narrow: "Mixture | None" = None

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> "Mixture":
        """The same law for another batch shape; its densities are computed once for equal rows."""
        wide: Mixture = super().expand(torch.Size(batch_shape), _instance)
        wide._narrow = self if self._narrow is None else self._narrow
        return wide

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the mixture."""
        narrow: Any = self if self._narrow is None else self._narrow
        parts = narrow.component_distribution
        if self._validate_args and not (_is_normal(parts) and self._fits(value)):
            self._validate_sample(value)
        logs = _normal_logs(parts, value)
        if logs is None:
            logs = parts.log_prob(value.unsqueeze(-1 - len(self.event_shape)))
        each = (logs + narrow.mixture_distribution.logits).logsumexp(-1)
        if narrow is self or each.shape == self.batch_shape:
            return each
        rows = value.shape[: value.dim() - len(self.event_shape)]
        return each.expand(torch.broadcast_shapes(rows, self.batch_shape))

    def _fits(self, value: Tensor) -> bool:
        """Whether these are plainly numbers, one for each row: one look at their sum is enough."""
        return value.shape == self.batch_shape + self.event_shape and not bool(value.sum().isnan())

    def icdf(self, value: Tensor) -> Tensor:
        """The value whose cumulative probability is ``value``, by bisection.

        Between the smallest and the largest quantile of the components; the gradient is that of the
        implicit function.
        """
        if self.event_shape:
            raise NotImplementedError("icdf is for mixtures of scalars, this one is of vectors")
        p = torch.as_tensor(value).to(self.mixture_distribution.logits)
        found = self._bisect(p)
        if self.component_distribution.support.is_discrete:
            return found.round()
        reached = self.cdf(found)
        if not (reached.requires_grad or p.requires_grad):
            return found
        logs = self.component_distribution.log_prob(found.unsqueeze(-1))
        slope = (logs + self.mixture_distribution.logits).logsumexp(-1).exp()
        excess = reached - p  # its value is rounding, only its derivative counts
        return root_with_slope(found, excess - excess.detach(), slope)

    @torch.no_grad()
    def _bisect(self, p: Tensor) -> Tensor:
        each = self.component_distribution.icdf(p.unsqueeze(-1))
        low, high = each.amin(-1), each.amax(-1)
        for _ in range(64 if each.dtype == torch.float64 else 40):
            middle = low + (high - low) / 2
            enough = self.cdf(middle) >= p
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high


def _is_normal(parts: Any) -> bool:
    """Whether the components are normal, scalar or vectors of independent entries."""
    vector = isinstance(parts, td.Independent)
    entries = parts.base_dist if vector else parts
    return is_plain_normal(entries) and len(parts.event_shape) == int(vector)


def _normal_logs(parts: Any, value: Tensor) -> Tensor | None:
    """Log densities of normal components, in fewer operations than their own; None for others."""
    if not _is_normal(parts):
        return None
    vector = bool(parts.event_shape)
    entries = parts.base_dist if vector else parts
    squares, logs = squares_and_logs(entries, value.unsqueeze(-2 if vector else -1))
    constant = logs + HALF_LOG_TAU
    if vector:
        squares, constant = squares.sum(-1), constant.sum(-1)
    return -0.5 * squares - constant


class MixtureDensity(Head):
    r"""Mixture of k laws: :math:`p(y \mid x) = \sum_j \pi_j(x)\, p_j(y \mid x)`.

    All of it depends on the context; at first the weights are equal and the components lie apart
    through the readout's small random weights only, so give the features some width.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        components: Their number k.
        component: Makes one component from a body: a head such as `Normal`, `Student`,
            `LogNormal`, or ``functools.partial(Normal, event=2)`` for vectors.
        spread: Locations of the components at first: evenly from −spread to spread (the first
            number of each component's link is moved).

    Raises:
        ValueError: ``components`` is below 1.
        TypeError: ``component`` does not make a head.

    Source: Bishop (1994), *Mixture density networks*, eq. 22.

    Example:
        >>> law = MixtureDensity(torch.nn.Linear(3, 8), components=3)
        >>> law(torch.zeros(5, 3)).mixture_distribution.probs.shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        components: int = 5,
        component: Callable[..., Head] = Normal,
        spread: float = 1.0,
    ) -> None:
        if components < 1:
            raise ValueError(f"a mixture needs at least 1 component, got {components}")
        inner, start = link_and_start(component)
        places = torch.linspace(-spread, spread, components).tolist() if components > 1 else [0.0]
        numbers = [number for place in places for number in (start[0] + place, *start[1:])]
        super().__init__(attach(body, features, [0.0] * components + numbers), inner.event_shape)
        self.component, self.components = inner, components

    @property
    def support(self) -> constraints.Constraint:
        """The components' support."""
        return self.component.support

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Mixture of weights and of each component's numbers."""
        weights = dist.Categorical(logits=raw[..., : self.components], validate_args=False)
        numbers = raw[..., self.components :].unflatten(-1, (self.components, -1))
        parts: Any = self.component.link(numbers)
        return checking(Mixture(weights, parts, validate_args=False))
