"""Damping that follows how well the quadratic model foretells the loss (floor 0)."""

import dataclasses
import math
from typing import SupportsIndex

from hybrid.loss import whole

__all__ = ["LevenbergMarquardt"]


@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt:
    r"""Damping that is lowered where steps do what they promise, and raised where they do not.

    After a step δ the loss on the same batch, with the same random numbers, is compared with the
    promise of the quadratic model, :math:`m = g^T\delta + \frac12 \delta^T F \delta`, by
    :math:`\rho = (L(\theta + \delta) - L(\theta)) / m`. Above ¾ the damping is divided by
    ``factor``, below ¼ multiplied. A step that raises the loss, or ends at NaN, is taken back and
    tried again with a multiple of the damping. And no step is longer than a radius in the metric,
    :math:`\delta^T F \delta \le r^2`: for a law, half of that is by how much its information per
    row changes, so that a step on a few rows does not take the law apart.

    Args:
        initial: The damping at the start; the groups' own ``damping`` where they state one.
        factor: How fast it changes.
        least: It is never below: a small batch foretells its own loss too well. On whole data a
            smaller number is safe.
        most: It is never above.
        radius: r; infinity for none.
        tries: Steps tried on one batch; after the last the parameters stay as they were.

    Raises:
        ValueError: A number is out of range.

    Source: Martens (2010), *Deep learning via Hessian-free optimization*, section 4.1; for the
    radius, Ba, Grosse & Martens (2017), *Distributed second-order optimization using
    Kronecker-factored approximations*, section 5.

    Example:
        >>> LevenbergMarquardt().changed(0.3, ratio=0.9) < 0.3
        True
    """

    initial: float = 0.1
    factor: float = 1.5
    least: float = 1e-2
    most: float = 1e10
    radius: float = 1.0
    tries: SupportsIndex = 8

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.initial <= self.most < math.inf:
            raise ValueError(
                f"damping needs 0 < least ≤ initial ≤ most, got {self.least}, {self.initial}, "
                f"{self.most}"
            )
        if not 1 < self.factor < math.inf:
            raise ValueError(f"factor must be above 1: {self.factor}")
        if not self.radius > 0:
            raise ValueError(f"radius must be above 0: {self.radius}")
        object.__setattr__(self, "tries", whole("tries", self.tries))

    def changed(self, damping: float, ratio: float) -> float:
        """The damping after a step whose change of the loss was ``ratio`` times the promise."""
        if ratio > 0.75:
            damping /= self.factor
        elif ratio < 0.25:
            damping *= self.factor
        return min(max(damping, self.least), self.most)

    def share(self, length: float) -> float:
        """How much of a step of this squared length is within the radius."""
        return 1.0 if length <= self.radius**2 else self.radius / math.sqrt(length)

    def raised(self, damping: float) -> float:
        """The damping after a step that was taken back."""
        return min(max(damping, self.least) * self.factor**4, self.most)
