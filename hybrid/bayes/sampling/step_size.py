r"""The step size of Hamiltonian samplers (floor 0).

Source: Hoffman & Gelman, The No-U-Turn Sampler, JMLR 2014, section 3.2 and algorithm 4.
"""

import math
from collections.abc import Callable

__all__ = ["DualAveraging", "rough_step"]

_DELAY, _DECAY = 10, 0.75  # t₀ and κ of the source
# The source's γ of 0.05 and first aim of 10 times the step make step sizes swing widely; as a step
# too large costs more acceptance than one too small wins, their mean is then too small.
_SHRINKAGE, _AIM = 0.1, 2.0
_LARGEST = 1e7


class DualAveraging:
    """Moves a step size until some acceptance statistic has a given mean.

    Args:
        step: The first step size.
        target: The mean that is wanted.

    Example:
        >>> rule = DualAveraging(1.0, target=0.8)
        >>> for _ in range(200):
        ...     rule.update(math.exp(-rule.step))
        >>> round(rule.average, 1)  # exp(-0.22) = 0.8
        0.2
    """

    def __init__(self, step: float, target: float) -> None:
        self.target = target
        self.restart(step)

    def restart(self, step: float) -> None:
        """Forget what was seen, and go on from this step size."""
        self.step = self.average = step
        self._towards = math.log(_AIM * step)
        self._count, self._error, self._log_average = 0, 0.0, 0.0

    def update(self, accepted: float) -> None:
        """Take the statistic of one iteration into account."""
        self._count += 1
        self._error += (self.target - accepted - self._error) / (self._count + _DELAY)
        log_step = self._towards - math.sqrt(self._count) / _SHRINKAGE * self._error
        weight = self._count**-_DECAY
        self._log_average = weight * log_step + (1 - weight) * self._log_average
        self.step, self.average = math.exp(log_step), math.exp(self._log_average)


def rough_step(accepted: Callable[[float], float], step: float, target: float) -> float:
    """Double or halve a step size until the acceptance of one leapfrog crosses ``target``.

    Args:
        accepted: The mean acceptance probability after one leapfrog of this size.
        step: Where to begin.
        target: The probability to cross.

    Example:
        >>> rough_step(lambda step: math.exp(-step), 1.0, 0.8)
        0.125
    """
    up = accepted(step) > target
    while (accepted(step) > target) == up and 1e-12 < step < _LARGEST:
        step *= 2.0 if up else 0.5
    return step
