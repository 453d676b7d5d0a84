"""Adaptive robust head: tails between Cauchy's and the normal one, learnt (floor 2)."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.nn import functional as F

from causal.noise import NoiseNotRecoverable, abduct, replay
from hybrid.heads.head import Head, attach, entries, joined, vector_shape
from hybrid.heads.normal import SMALLEST_SCALE, UNIT_SCALE
from hybrid.losses.barron import log_partition, robust

__all__ = ["AdaptiveRobust", "RobustDistribution"]


class RobustDistribution(TorchDistribution):
    r"""Law with density :math:`e^{-\rho((y - \mu) / c, \alpha)} / (c\, Z(\alpha))`.

    ρ is Barron's general loss (`hybrid.losses.robust`); α = 2 is the normal law with deviation c,
    α = 0 a Cauchy law. Mean and variance have no closed form.

    Args:
        loc: Location μ, the mode and the median.
        scale: Scale c, positive.
        alpha: Shape α in [0, 2].
        validate_args: Check the arguments (as in torch; None for torch's default).

    Example:
        >>> law = RobustDistribution(torch.zeros(2), 1.0, torch.tensor([0.0, 2.0]))
        >>> law.log_prob(torch.zeros(2)).exp()  # 1 / (π √2) and 1 / √(2 π)
        tensor([0.2251, 0.3989])
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "alpha": constraints.interval(0.0, 2.0),
    }
    support = constraints.real
    has_rsample = False

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        alpha: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.alpha = broadcast_all(loc, scale, alpha)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "RobustDistribution":
        """The same law for another batch shape."""
        loc, scale, alpha = (
            part.expand(batch_shape) for part in (self.loc, self.scale, self.alpha)
        )
        new = RobustDistribution(loc, scale, alpha, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples by rejection from the Cauchy law of α = 0, which lies above; at least 56 % stay.

        Source: Barron (2019), appendix D, algorithm 1.
        """
        with torch.no_grad():
            shape = (*sample_shape, *self.batch_shape)
            alpha = self.alpha.expand(shape)
            value, waiting = torch.zeros_like(alpha), torch.ones_like(alpha, dtype=torch.bool)
            while bool(waiting.any()):
                trial = math.sqrt(2) * torch.tan(math.pi * (torch.rand_like(alpha) - 0.5))
                log_accepted = torch.log1p(trial.square() / 2) - robust(trial, alpha)
                taken = waiting & (torch.rand_like(alpha).log() < log_accepted)
                value, waiting = torch.where(taken, trial, value), waiting & ~taken
            return self.loc + self.scale * value

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density."""
        if self._validate_args:
            self._validate_sample(value)
        loss = robust(value - self.loc, self.alpha, self.scale)
        return -loss - self.scale.log() - log_partition(self.alpha)


@abduct.register(RobustDistribution)
def _noise(distribution: RobustDistribution, value: Tensor) -> Tensor:
    noise = (value - distribution.loc) / distribution.scale
    return torch.stack(torch.broadcast_tensors(noise, distribution.alpha), -1)


@replay.register(RobustDistribution)
def _value(distribution: RobustDistribution, noise: Tensor) -> Tensor:
    standard, alpha = noise.unbind(-1)
    if not bool((alpha == distribution.alpha).all()):
        raise NoiseNotRecoverable(
            "AdaptiveRobust: alpha differs between the observed and the replayed context, and a "
            "standard residual means the same only for the same alpha: give the head alpha="
        )
    return distribution.loc + distribution.scale * standard


class AdaptiveRobust(Head):
    r"""Law of Barron's adaptive robust loss: how heavy the tails are is learnt with the rest.

    Location, scale and, unless it is given, the shape :math:`\alpha = 2 \sigma(f) \in (0, 2)`
    depend on the context; they start near 0, 1 and 1.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)`` of independent
            entries.
        alpha: The shape as a number from 0 to 2; None to learn it.

    Raises:
        ValueError: ``alpha`` is outside.

    Source: Barron (2019), *A general and adaptive robust loss function*, eq. 16.

    Example:
        >>> law = AdaptiveRobust(torch.nn.Linear(3, 8))
        >>> law(torch.zeros(5, 3)).log_prob(torch.zeros(5)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        event: int | None = None,
        alpha: float | None = None,
    ) -> None:
        if alpha is not None and not 0 <= alpha <= 2:
            raise ValueError(f"alpha is a number from 0 to 2, or None to learn it: got {alpha}")
        shape = vector_shape(event)
        size = shape[0] if shape else 1
        start = [0.0] * size + [UNIT_SCALE] * size + ([0.0] * size if alpha is None else [])
        super().__init__(attach(body, features, start), shape)
        self.alpha = None if alpha is None else float(alpha)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real_vector if self.event_shape else constraints.real

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Robust distribution of a location, a positive scale and a shape."""
        parts = entries(raw, 2 if self.alpha is not None else 3, self.event_shape)
        location, scale = parts[0], F.softplus(parts[1]) + SMALLEST_SCALE
        given = self.alpha
        alpha = 2 * parts[2].sigmoid() if given is None else torch.full_like(location, given)
        return joined(
            RobustDistribution(location, scale, alpha, validate_args=False), self.event_shape
        )
