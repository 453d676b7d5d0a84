"""Log-normal head: positive values (floor 2)."""

import pyro.distributions as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.heads.normal import SMALLEST_SCALE, UNIT_SCALE

__all__ = ["LogNormal"]


class LogNormal(Head):
    r"""Log-normal law of positive values: :math:`\log y \sim N(\mu(x), \sigma(x)^2)`.

    Both numbers are of log y, depend on the context and start near 0 and 1: divide y by a typical
    value.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.

    Example:
        >>> import torch
        >>> law = LogNormal(None)
        >>> law(torch.zeros(2, 0)).icdf(torch.tensor(0.5))
        tensor([1., 1.], grad_fn=<ExpBackward0>)
    """

    def __init__(
        self, body: nn.Module | None, *, features: int | None = None, event: int | None = None
    ) -> None:
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        super().__init__(attach(body, features, [0.0] * size + [UNIT_SCALE] * size), shape)

    @property
    def support(self) -> constraints.Constraint:
        """Positive numbers."""
        positive = constraints.positive
        return constraints.independent(positive, 1) if self.event_shape else positive

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Log-normal distribution of the mean and the deviation of log y."""
        location, scale = entries(raw, 2, self.event_shape)
        scale = F.softplus(scale) + SMALLEST_SCALE
        return joined(dist.LogNormal(location, scale, validate_args=False), self.event_shape)
