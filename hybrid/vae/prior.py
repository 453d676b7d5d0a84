"""The standard normal law of hidden codes (floor 0)."""

import torch
import torch.distributions as td
from torch import Tensor, nn
from torch.distributions import constraints

__all__ = ["StandardNormal"]


class StandardNormal(nn.Module):
    r"""A Law without parameters and without context: :math:`z \sim N(0, I)`.

    Args:
        latent: The number of entries of z.

    Example:
        >>> StandardNormal(2)(torch.zeros(5, 0)).log_prob(torch.zeros(2)).exp()
        tensor(0.1592)
    """

    support = constraints.real_vector

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.event_shape = torch.Size((latent,))

    def forward(self, context: Tensor) -> td.Distribution:
        """One distribution for all rows: it broadcasts."""
        zeros = torch.zeros(self.event_shape, dtype=context.dtype, device=context.device)
        normal = td.Normal(zeros, torch.ones_like(zeros), validate_args=False)
        return td.Independent(normal, 1, validate_args=False)
