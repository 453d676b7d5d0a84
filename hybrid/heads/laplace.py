"""Laplace head: the law whose likelihood is the absolute error (floor 2)."""

import pyro.distributions as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.heads.normal import SMALLEST_SCALE, UNIT_SCALE

__all__ = ["Laplace"]


class Laplace(Head):
    r"""Laplace law :math:`p(y \mid x) = e^{-|y - \mu(x)| / b(x)} / (2 b(x))`.

    Location and scale depend on the context; the scale is softplus + 1e-3 and starts near 1, the
    location near 0: standardise the data. The location is the conditional median.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.

    Example:
        >>> import torch
        >>> law = Laplace(torch.nn.Linear(3, 8), event=2)
        >>> law(torch.zeros(5, 3)).log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
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
        """Laplace distribution of a location and a positive scale."""
        location, scale = entries(raw, 2, self.event_shape)
        scale = F.softplus(scale) + SMALLEST_SCALE
        return joined(dist.Laplace(location, scale, validate_args=False), self.event_shape)
