"""Normal head (floor 2)."""

import math

import pyro.distributions as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.head import Head, attach, checking, vector_shape

__all__ = ["Normal", "location_and_scale"]

SMALLEST_SCALE = 1e-3
UNIT_SCALE = math.log(math.expm1(1 - SMALLEST_SCALE))


def location_and_scale(
    raw: Float[Tensor, "*batch outputs"],
) -> tuple[Float[Tensor, "*batch half"], Float[Tensor, "*batch half"]]:
    r"""Split raw numbers :math:`(a, b)` into :math:`a` and :math:`\mathrm{softplus}(b) + 10^{-3}`.

    Example:
        >>> import torch
        >>> location, scale = location_and_scale(torch.tensor([2.0, UNIT_SCALE]))
        >>> location, scale.round(decimals=6)
        (tensor([2.]), tensor([1.]))
    """
    location, scale = raw.chunk(2, -1)
    return location, F.softplus(scale) + SMALLEST_SCALE


class Normal(Head):
    r"""Normal law :math:`p(y \mid x) = N(\mu(x), \sigma(x)^2)`; both depend on the context.

    The scale is softplus + 1e-3 and starts near 1, the location near 0: standardise the data.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.

    Example:
        >>> import torch
        >>> law = Normal(torch.nn.Linear(3, 8))
        >>> law(torch.zeros(5, 3)).log_prob(torch.zeros(5)).shape
        torch.Size([5])
        >>> Normal(None, event=2)(torch.zeros(5, 0)).event_shape
        torch.Size([2])
    """

    def __init__(
        self, body: nn.Module | None, *, features: int | None = None, event: int | None = None
    ) -> None:
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        super().__init__(attach(body, features, [0.0] * size + [UNIT_SCALE] * size), shape)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real_vector if self.event_shape else constraints.real

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Normal of a location and a positive scale."""
        location, scale = location_and_scale(raw)
        if self.event_shape:
            return checking(dist.Normal(location, scale, validate_args=False)).to_event(1)
        location, scale = location.squeeze(-1), scale.squeeze(-1)
        return checking(dist.Normal(location, scale, validate_args=False))
