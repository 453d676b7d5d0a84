r"""One transition of the No-U-Turn sampler, without recursion (floor 1).

A trajectory is doubled, forwards or backwards in time, until it turns back on itself or one of its
halves does. Of its points one is drawn, with weights :math:`e^{-H}`. The points of a new half are
visited in order; of the earlier ones only those are kept that are the first of a balanced part
still open, at most one per doubling.

Source: Betancourt, A conceptual introduction to Hamiltonian Monte Carlo, 2017, appendix A.3 (the
weights, the criterion); Phan, Pradhan & Jankowiak, Composable effects for flexible and accelerated
probabilistic programming in NumPyro, 2019, algorithm 2 (the order).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kinetic", "Point", "Transition", "transition"]

Array = NDArray[Any]
Gradient = Callable[[Array], tuple[float, Array]]
_DIVERGED = 1000.0


class Point(NamedTuple):
    """A position with its energy and gradient.

    Example:
        >>> Point(np.zeros(2), 0.0, np.zeros(2)).energy
        0.0
    """

    position: Array
    energy: float
    gradient: Array


@dataclass(frozen=True)
class Kinetic:
    """The metric of one chain: a covariance, as a vector of variances or as a matrix.

    Example:
        >>> Kinetic(np.array([4.0, 1.0])).velocity(np.ones(2))
        array([4., 1.])
    """

    covariance: Array

    def velocity(self, momentum: Array) -> Array:
        """The velocity Σp of a momentum p."""
        if self.covariance.ndim == 2:
            return self.covariance @ momentum
        return self.covariance * momentum

    def momentum(self, noise: Array) -> Array:
        """A momentum with covariance Σ⁻¹ from standard normal noise."""
        if self.covariance.ndim == 2:
            factor = np.linalg.cholesky(self.covariance)
            return np.linalg.solve(factor.T, noise)
        return noise / np.sqrt(self.covariance)


class Transition(NamedTuple):
    """Where a transition ended, and what is told of it.

    Example:
        >>> start = Point(np.zeros(1), 0.0, np.zeros(1))
        >>> Transition(start, 0.8, 7, False, 0.5).leaps
        7
    """

    point: Point
    accepted: float
    leaps: int
    diverged: bool
    energy: float


class _End(NamedTuple):
    """An end of the trajectory."""

    point: Point
    momentum: Array
    velocity: Array


class _Half(NamedTuple):
    """A new half: its outer end, the sum of its momenta, its draw and the log of its weight."""

    end: _End
    momenta: Array
    draw: Point
    log_weight: float


class _Trajectory:
    """What all leaps of one transition share, and what is counted."""

    def __init__(
        self, both: Gradient, kinetic: Kinetic, step: float, random: Callable[[], float]
    ) -> None:
        self.both, self.kinetic, self.step, self.random = both, kinetic, step, random
        self.start = 0.0
        self.leaps, self.accepted, self.diverged = 0, 0.0, False

    def leap(self, end: _End, step: float) -> _End:
        (position, _, gradient), momentum, _ = end
        momentum = momentum - (0.5 * step) * gradient
        position = position + step * self.kinetic.velocity(momentum)
        energy, gradient = self.both(position)
        momentum = momentum - (0.5 * step) * gradient
        return _End(Point(position, energy, gradient), momentum, self.kinetic.velocity(momentum))

    def half(self, end: _End, step: float, depth: int) -> _Half | None:
        """Another ``2 ** depth`` leaps from an end; None where they turn or diverge."""
        momenta = np.zeros_like(end.momentum)
        draw, log_weight = end.point, -math.inf
        open_ends: list[tuple[_End, Array]] = [(end, momenta)] * (depth + 1)
        for n in range(1 << depth):
            end = self.leap(end, step)
            lost = end.point.energy + 0.5 * float(end.momentum @ end.velocity) - self.start
            self.leaps += 1
            if not lost < _DIVERGED:
                self.diverged = True
                return None
            self.accepted += 1.0 if lost < 0 else math.exp(-lost)
            log_weight, share = _joined(log_weight, -lost)
            if self.random() < share:
                draw = end.point
            momenta = momenta + end.momentum
            place = (n >> 1).bit_count()
            if n & 1 == 0:
                open_ends[place] = (end, momenta)
                continue
            closed = (~n & (n + 1)).bit_length() - 1  # the ones that n ends with
            for i in range(place, place - closed, -1):
                first, sum_then = open_ends[i]
                if _turns(first, end, momenta - sum_then + first.momentum):
                    return None
        return _Half(end, momenta, draw, log_weight)


def transition(
    both: Gradient,
    kinetic: Kinetic,
    start: Point,
    momentum: Array,
    step: float,
    deepest: int,
    random: Callable[[], float],
) -> Transition:
    """One transition from ``start``.

    Args:
        both: Energy and gradient at a position.
        kinetic: The metric.
        start: Where the chain is.
        momentum: Its momentum, as `Kinetic.momentum` draws one.
        step: The step size.
        deepest: The most doublings.
        random: Uniform numbers on [0, 1).

    Example:
        >>> noise = np.random.default_rng(0)
        >>> normal = lambda q: (0.5 * float(q @ q), q)
        >>> start = Point(np.ones(1), 0.5, np.ones(1))
        >>> moved = transition(
        ...     normal, Kinetic(np.ones(1)), start, np.ones(1), 0.5, 10, noise.random
        ... )
        >>> moved.leaps, moved.diverged
        (3, False)
    """
    work = _Trajectory(both, kinetic, step, random)
    here = _End(start, momentum, kinetic.velocity(momentum))
    work.start = start.energy + 0.5 * float(momentum @ here.velocity)
    ends = [here, here]  # backwards and forwards in time
    draw, log_weight, momenta = start, 0.0, momentum
    for depth in range(deepest):
        side = int(random() < 0.5)
        half = work.half(ends[side], step if side else -step, depth)
        if half is None:
            break
        if math.log(random() + 1e-300) < half.log_weight - log_weight:
            draw = half.draw
        log_weight, _ = _joined(log_weight, half.log_weight)
        momenta = momenta + half.momenta
        ends[side] = half.end
        if _turns(ends[0], ends[1], momenta):
            break
    accepted = work.accepted / max(work.leaps, 1)
    return Transition(draw, accepted, work.leaps, work.diverged, work.start)


def _joined(one: float, other: float) -> tuple[float, float]:
    """The log of the sum of two weights, and the share of the other."""
    highest = max(one, other)
    total = highest + math.log(math.exp(one - highest) + math.exp(other - highest))
    return total, math.exp(other - total)


def _turns(one: _End, other: _End, momenta: Array) -> bool:
    """Whether the part between two ends goes back on itself; its ends count by half."""
    inner = momenta - 0.5 * (one.momentum + other.momentum)
    return bool(inner @ one.velocity <= 0 or inner @ other.velocity <= 0)
