"""Mixture density head: several modes (floor 2)."""

from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from hybrid.heads.component import link_and_start
from hybrid.heads.head import Head, attach, checking
from hybrid.heads.incomplete_beta import root_with_slope
from hybrid.heads.normal import Normal

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
