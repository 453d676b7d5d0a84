r"""The metric of Hamiltonian samplers: an estimate of the posterior's covariance (floor 0).

Trajectories are followed in velocities :math:`v = \Sigma p`, which are normal with covariance Σ. In
a step of the leapfrog :math:`v \leftarrow v - \epsilon \Sigma \nabla U(q)`, then
:math:`q \leftarrow q + \epsilon v`: one product with Σ. A whitened velocity is standard normal, and
half its square is the kinetic energy.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Dense", "Diagonal", "Metric", "Moments"]


@runtime_checkable
class Metric(Protocol):
    """What a sampler asks of a metric; positions and velocities are ``(*chains, dim)``.

    Example:
        >>> metric: Metric = Diagonal(torch.tensor([4.0, 1.0]))
        >>> metric.colour(torch.ones(2))
        tensor([2., 1.])
    """

    def colour(self, noise: Tensor) -> Tensor:
        """A velocity from standard normal noise."""
        ...

    def whiten(self, velocity: Tensor) -> Tensor:
        """The noise that `colour` makes this velocity (or displacement) of."""
        ...

    def kick(self, velocity: Tensor, gradient: Tensor, step: float) -> Tensor:
        r"""The velocity after a time ``step``: :math:`v - \epsilon \Sigma \nabla U`."""
        ...


@dataclass(frozen=True)
class Diagonal:
    """Independent directions.

    Args:
        variance: Positive numbers ``(dim,)``.

    Example:
        >>> Diagonal(torch.tensor([4.0])).whiten(torch.tensor([2.0]))
        tensor([1.])
    """

    variance: Float[Tensor, "dim"]

    def colour(self, noise: Tensor) -> Tensor:
        """A velocity from standard normal noise."""
        return noise * self.variance.sqrt()

    def whiten(self, velocity: Tensor) -> Tensor:
        """The noise that `colour` makes this velocity of."""
        return velocity / self.variance.sqrt()

    def kick(self, velocity: Tensor, gradient: Tensor, step: float) -> Tensor:
        """The velocity after a time ``step``."""
        return torch.addcmul(velocity, gradient, self.variance, value=-step)


@dataclass(frozen=True)
class Dense:
    """A full covariance.

    Args:
        covariance: A positive definite matrix ``(dim, dim)``.

    Raises:
        torch.linalg.LinAlgError: It is not positive definite.

    Example:
        >>> metric = Dense(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        >>> metric.whiten(metric.colour(torch.ones(5, 2)))[0]
        tensor([1., 1.])
    """

    covariance: Float[Tensor, "dim dim"]

    def __post_init__(self) -> None:
        factor = torch.linalg.cholesky(self.covariance)
        eye = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        object.__setattr__(self, "_factor", factor.mT.contiguous())
        inverse = torch.linalg.solve_triangular(factor, eye, upper=False)
        object.__setattr__(self, "_inverse", inverse.mT.contiguous())

    def colour(self, noise: Tensor) -> Tensor:
        """A velocity from standard normal noise."""
        factor: Tensor = self._factor  # type: ignore[attr-defined]
        return noise @ factor

    def whiten(self, velocity: Tensor) -> Tensor:
        """The noise that `colour` makes this velocity of."""
        inverse: Tensor = self._inverse  # type: ignore[attr-defined]
        return velocity @ inverse

    def kick(self, velocity: Tensor, gradient: Tensor, step: float) -> Tensor:
        """The velocity after a time ``step``."""
        if velocity.dim() == 1:
            return torch.addmv(velocity, self.covariance, gradient, alpha=-step)
        return torch.addmm(velocity, gradient, self.covariance, alpha=-step)


class Moments:
    """Sums of positions, from which a metric is estimated.

    Args:
        like: A position ``(dim,)``.
        dense: Whether products of coordinates are summed too.

    Example:
        >>> seen = Moments(torch.zeros(2), dense=False)
        >>> seen.add(torch.tensor([[1.0, 5.0], [3.0, 9.0]]))
        >>> seen.metric().variance
        tensor([2., 8.])
    """

    def __init__(self, like: Float[Tensor, "dim"], *, dense: bool) -> None:
        self.dense = dense
        self._like = like
        self.clear()

    def clear(self) -> None:
        """Forget what was added."""
        self.count = 0
        self._origin: Tensor | None = None
        size = len(self._like)
        self._sum = torch.zeros_like(self._like)
        self._products = self._like.new_zeros((size, size) if self.dense else (size,))

    def add(self, positions: Float[Tensor, "chains dim"]) -> None:
        """Add the positions of some chains."""
        if self._origin is None:
            self._origin = positions.mean(0)  # sums of squares far from zero would lose digits
        moved = positions - self._origin
        self.count += len(positions)
        self._sum += moved.sum(0)
        self._products += moved.mT @ moved if self.dense else moved.square().sum(0)

    def metric(self) -> "Metric":
        r"""The covariance of what was added, drawn towards its diagonal where that is little.

        .. math:: \Sigma = w S + (1 - w) \operatorname{diag} S, \qquad
            w = n^2 / (n^2 + (5 + d)^2)

        Where there is much, narrow ridges must not be widened.

        Raises:
            ValueError: Fewer than two positions were added.
        """
        if self.count < 2:
            raise ValueError(f"a metric needs at least two positions, got {self.count}")
        mean = self._sum / self.count
        square = torch.outer(mean, mean) if self.dense else mean.square()
        spread = (self._products - self.count * square) / (self.count - 1)
        if not self.dense:
            return Diagonal(_positive(spread))
        diagonal = _positive(spread.diagonal())
        weight = 1 / (1 + ((5 + len(mean)) / self.count) ** 2)
        covariance = weight * spread
        covariance.diagonal().copy_(diagonal)
        _, failed = torch.linalg.cholesky_ex(covariance)
        return Diagonal(diagonal) if failed else Dense(covariance)


def _positive(variance: Tensor) -> Tensor:
    """Variances without the zeros of coordinates that never moved."""
    usable = variance.isfinite() & (variance > 0)
    return torch.where(usable, variance, torch.ones_like(variance))
