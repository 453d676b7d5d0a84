"""Ordinal head: classes in an order (floor 2)."""

import itertools
import math

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from hybrid.heads.head import Head, attach, checking, placed_like

__all__ = ["Cuts", "Ordinal"]

_LEAST_GAP = 1e-3


class Cuts(nn.Module):
    """Puts the same learnable numbers behind whatever comes in, row by row.

    Args:
        values: Their initial values.

    Example:
        >>> Cuts([1.0, 2.0])(torch.zeros(1, 1)).detach()
        tensor([[0., 1., 2.]])
    """

    broadcasts_parameters = True

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self._start = tuple(values)
        self.values = nn.Parameter(torch.tensor(values))
        self.out_features = len(values) + 1

    def reset_parameters(self) -> None:
        """Go back to the initial values."""
        with torch.no_grad():
            self.values.copy_(torch.tensor(self._start))

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Inputs and numbers; leading axes broadcast."""
        rows = torch.broadcast_shapes(inputs.shape[:-1], self.values.shape[:-1])
        parts = (part.expand(*rows, part.shape[-1]) for part in (inputs, self.values))
        return torch.cat(list(parts), -1)


class Ordinal(Head):
    r"""Ordered classes 0 … k − 1 by a cumulative logit.

    .. math:: P(y \le j \mid x) = \sigma(\theta_j - f(x)), \qquad \theta_0 < \dots < \theta_{k-2}

    The score f depends on the context, the cuts θ do not (proportional odds); they are part of the
    body, so that `hybrid.bayes.variational` makes them random too. At first all classes are about
    equally likely.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        states: The number of classes k.

    Raises:
        ValueError: ``states`` is below 2.

    Source: McCullagh (1980), *Regression models for ordinal data*, section 2, eq. 2.4.

    Example:
        >>> law = Ordinal(torch.nn.Linear(3, 8), states=4)
        >>> law(torch.zeros(5, 3)).probs.shape
        torch.Size([5, 4])
    """

    def __init__(self, body: nn.Module | None, *, features: int | None = None, states: int) -> None:
        if states < 2:
            raise ValueError(f"an ordinal law needs at least 2 states, got {states}")
        cuts = [math.log(j / (states - j)) for j in range(1, states)]
        widths = (b - a - _LEAST_GAP for a, b in itertools.pairwise(cuts))
        gaps = [math.log(math.expm1(width)) for width in widths]
        whole = attach(body, features, [0.0] if body is not None else [0.0, cuts[0], *gaps])
        if body is not None:
            whole = nn.Sequential(whole, placed_like(body, Cuts([cuts[0], *gaps])))
        super().__init__(whole)
        self._states: int = states

    @property
    def support(self) -> constraints.Constraint:
        """The integers from 0 to ``states - 1``."""
        return constraints.integer_interval(0, self._states - 1)

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Categorical of a score, the first cut and the raw gaps between the cuts."""
        gaps = F.softplus(raw[..., 2:]) + _LEAST_GAP
        first = raw[..., 1:2] - raw[..., :1]
        edges = torch.cat([first, first + gaps.cumsum(-1)], -1)
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − exp(a − b)), which does not cancel in the tails.
        low, high = F.logsigmoid(-edges), F.logsigmoid(edges)
        middle = high[..., 1:] + low[..., :-1] + torch.log(-torch.expm1(-gaps))
        logs = torch.cat([high[..., :1], middle, low[..., -1:]], -1)
        return checking(dist.Categorical(logits=logs, validate_args=False))
