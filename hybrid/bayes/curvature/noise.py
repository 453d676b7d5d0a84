"""A normal law whose noise is one number of its own (floor 0)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints

from causal.draws import fixed
from causal.law import as_pyro
from hybrid.backbones.folded import row_dims

__all__ = ["KnownNoise", "normal_of"]


class KnownNoise(nn.Module):
    """A normal Law with the mean of another one, and a standard deviation that is not learnt there.

    Args:
        law: A Law that returns normal distributions.
        noise: The standard deviation, a buffer.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> law = KnownNoise(Normal(nn.Linear(3, 8)), torch.tensor(0.5))
        >>> law(torch.zeros(7, 3)).stddev
        tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000])
    """

    noise: Tensor

    def __init__(self, law: nn.Module, noise: Tensor) -> None:
        super().__init__()
        self.law = law
        self.event_dims = row_dims(law)
        self.register_buffer("noise", noise)

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one value."""
        known: Any = self.law
        return torch.Size(known.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        known: Any = self.law
        support: constraints.Constraint = known.support
        return support

    def forward(self, context: Tensor, draws: int | None = None) -> Distribution:
        """The distribution given ``context``, as the law itself takes it."""
        if draws is None:
            return normal_of(self.law(context), self.noise)
        with fixed(self, draws):
            found = self(context.unsqueeze(0))
        return found.expand(torch.Size((draws, *found.batch_shape[1:])))


def normal_of(distribution: Any, noise: Tensor) -> Distribution:
    """A normal distribution with the locations of another one, and this standard deviation.

    Raises:
        ValueError: The other is not normal.

    Example:
        >>> normal_of(Normal(torch.ones(2), 3.0), torch.tensor(0.5))
        Normal(loc: torch.Size([2]), scale: torch.Size([2]))
    """
    event, entries = 0, distribution
    while isinstance(entries, Independent):
        event, entries = event + entries.reinterpreted_batch_ndims, entries.base_dist
    if not isinstance(entries, Normal):
        raise ValueError(
            f"noise= is for laws that return a normal distribution, got "
            f"{type(distribution).__name__}: leave it out"
        )
    plain: Distribution = Normal(entries.loc, noise.to(entries.loc).expand_as(entries.loc))
    return as_pyro(Independent(plain, event) if event else plain)
