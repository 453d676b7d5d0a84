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
    tried again with a multiple of the damping.

    Args:
        initial: The damping at the start; the groups' own ``damping`` where they state one.
        factor: How fast it changes.
        least: It is never below.
        most: It is never above.
        tries: Steps tried on one batch; after the last the parameters stay as they were.

    Raises:
        ValueError: A number is out of range.

    Source: Martens (2010), *Deep learning via Hessian-free optimization*, section 4.1.

    Example:
        >>> LevenbergMarquardt().changed(1e-2, ratio=0.9) < 1e-2
        True
    """

    initial: float = 1e-2
    factor: float = 1.5
    least: float = 1e-10
    most: float = 1e10
    tries: SupportsIndex = 8

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.initial <= self.most < math.inf:
            raise ValueError(
                f"damping needs 0 < least ≤ initial ≤ most, got {self.least}, {self.initial}, "
                f"{self.most}"
            )
        if not 1 < self.factor < math.inf:
            raise ValueError(f"factor must be above 1: {self.factor}")
        object.__setattr__(self, "tries", whole("tries", self.tries))

    def changed(self, damping: float, ratio: float) -> float:
        """The damping after a step whose change of the loss was ``ratio`` times the promise."""
        if ratio > 0.75:
            damping /= self.factor
        elif ratio < 0.25:
            damping *= self.factor
        return min(max(damping, self.least), self.most)

    def raised(self, damping: float) -> float:
        """The damping after a step that was taken back."""
        return min(max(damping, self.least) * self.factor**4, self.most)
