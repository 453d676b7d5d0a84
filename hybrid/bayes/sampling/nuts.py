"""The No-U-Turn sampler, one chain after another (floor 3).

Source: Hoffman & Gelman, The No-U-Turn Sampler, JMLR 2014; the warm-up goes by windows, as Stan's
does (Stan reference manual, "Automatic parameter tuning").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causal.draws import standard_normal, uniform
from hybrid.bayes.sampling.density import Density, Potential, potential, spread_out
from hybrid.bayes.sampling.doubling import Kinetic, Point, transition
from hybrid.bayes.sampling.method import Run
from hybrid.bayes.sampling.metric import Dense, Moments
from hybrid.bayes.sampling.settling import settled
from hybrid.bayes.sampling.step_size import DualAveraging, rough_step

__all__ = ["NUTS"]

Array = NDArray[Any]
_DENSE_UP_TO = 25  # dimensions
_BLOCK = 1024  # uniform numbers drawn at a time


@dataclass(frozen=True)
class NUTS:
    """The No-U-Turn sampler: each trajectory is as long as it needs to be.

    For few chains and awkward posteriors. Each chain is adapted for itself.

    Args:
        acceptance: The mean acceptance probability to adapt to; higher for narrow posteriors.
        dense: Whether the metric is a full matrix; None: up to 25 dimensions.
        deepest: The most doublings of a trajectory.

    Raises:
        ValueError: ``acceptance`` is not between 0 and 1, or ``deepest`` below 1.

    Example:
        >>> NUTS(acceptance=0.95).deepest
        10
    """

    acceptance: float = 0.8
    dense: bool | None = None
    deepest: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.acceptance < 1:
            raise ValueError(f"acceptance must be between 0 and 1: {self.acceptance}")
        if self.deepest < 1:
            raise ValueError(f"deepest must be at least 1: {self.deepest}")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Chains, warm-up iterations and draws where none are asked for."""
        return 4, 500, 1000

    def run(
        self, density: Density, chains: int, warmup: int, draws: int, generator: torch.Generator
    ) -> Run:
        """Sample the density.

        Raises:
            ValueError: There are fewer than 20 warm-up iterations.
        """
        if warmup < 20:
            raise ValueError(f"NUTS needs at least 20 warm-up iterations, got {warmup}")
        found = potential(density.energy, density.example)
        with torch.no_grad(), np.errstate(all="ignore"):  # what overflows is turned down
            starts = spread_out(density, found, chains, generator)
            starts = torch.stack([settled(found.both, start) for start in starts])
            made = [_Chain(self, found, start, generator).run(warmup, draws) for start in starts]
        like = density.example
        facts: dict[str, float | str] = {
            "method": "NUTS",
            "gradient": found.route,
            "step_size": float(np.mean([chain.step for chain in made])),
            "acceptance": float(np.mean([chain.accepted for chain in made])),
            "gradients": float(sum(chain.leaps for chain in made)),
            "metric": made[0].metric,
        }
        if found.reason:
            facts["not recorded because"] = found.reason
        positions = np.stack([chain.positions for chain in made])
        energy = torch.from_numpy(np.stack([chain.energy for chain in made]))
        diverging = torch.from_numpy(np.stack([chain.diverging for chain in made]))
        return Run(torch.from_numpy(positions).to(like), diverging, energy.to(like.dtype), facts)


class _Made(NamedTuple):
    """The draws of one chain."""

    positions: Array
    diverging: Array
    energy: Array
    step: float
    accepted: float
    leaps: int
    metric: str


class _Chain:
    """One chain, and the two things that it adapts: step size and metric."""

    def __init__(
        self, method: NUTS, found: Potential, start: Tensor, generator: torch.Generator
    ) -> None:
        dim = len(start)
        self.method, self.generator, self.like = method, generator, start
        self.both = _in_numpy(found, start)
        self.random = _numbers(generator)
        self.point = Point(start.cpu().numpy(), *self.both(start.cpu().numpy()))
        self.kinetic = Kinetic(np.ones_like(self.point.position))
        dense = dim <= _DENSE_UP_TO if method.dense is None else method.dense
        self.moments = Moments(start.cpu(), dense=dense)
        self.leaps = 0
        self.steps = DualAveraging(self._rough(0.1), method.acceptance)

    def run(self, warmup: int, draws: int) -> _Made:
        """Warm up, then draw."""
        begin, ends = _windows(warmup)
        for i in range(warmup):
            moved = self._move(self.steps.step)
            self.steps.update(moved.accepted)
            if begin <= i < ends[-1]:
                self.moments.add(torch.from_numpy(self.point.position)[None])
            if i + 1 in ends:
                self.kinetic = _kinetic(self.moments)
                self.moments.clear()
                self.steps.restart(self._rough(self.steps.average))
        step = self.steps.average
        positions = np.empty((draws, len(self.like)), self.point.position.dtype)
        energy, diverging = np.empty(draws), np.zeros(draws, bool)
        accepted = 0.0
        for i in range(draws):
            moved = self._move(step)
            positions[i], energy[i] = self.point.position, moved.energy
            diverging[i] = moved.diverged
            accepted += moved.accepted / draws
        kind = "dense" if self.kinetic.covariance.ndim == 2 else "diagonal"
        return _Made(positions, diverging, energy, step, accepted, self.leaps, kind)

    def _momentum(self) -> Array:
        noise = standard_normal(self.like.shape, self.like, self.generator)
        return self.kinetic.momentum(noise.cpu().numpy())

    def _move(self, step: float) -> Any:
        moved = transition(
            self.both,
            self.kinetic,
            self.point,
            self._momentum(),
            step,
            self.method.deepest,
            self.random,
        )
        self.point = moved.point
        self.leaps += moved.leaps
        return moved

    def _rough(self, step: float) -> float:
        def accepted(size: float) -> float:
            kinetic, point, momentum = self.kinetic, self.point, self._momentum()
            before = point.energy + 0.5 * float(momentum @ kinetic.velocity(momentum))
            momentum = momentum - 0.5 * size * point.gradient
            energy, gradient = self.both(point.position + size * kinetic.velocity(momentum))
            momentum = momentum - 0.5 * size * gradient
            after = energy + 0.5 * float(momentum @ kinetic.velocity(momentum))
            lost = after - before
            return float(np.exp(-max(lost, 0.0))) if np.isfinite(lost) else 0.0

        return rough_step(accepted, step, self.method.acceptance)


def _kinetic(moments: Moments) -> Kinetic:
    metric = moments.metric()
    spread = metric.covariance if isinstance(metric, Dense) else getattr(metric, "variance")  # noqa: B009
    return Kinetic(spread.numpy())


def _in_numpy(found: Potential, like: Tensor) -> Callable[[Array], tuple[float, Array]]:
    """Energy and gradient of an array; on another device than the CPU they travel."""
    arrays = found.arrays
    if arrays is not None:

        def at_once(position: Array) -> tuple[float, Array]:
            gradient, value = arrays(position)
            return float(value), gradient

        return at_once

    def both(position: Array) -> tuple[float, Array]:
        value, gradient = found.both(torch.from_numpy(position).to(like.device))
        return float(value), gradient.cpu().numpy()

    return both


def _numbers(generator: torch.Generator) -> Callable[[], float]:
    """Uniform numbers, one at a time, drawn in blocks."""
    waiting: list[float] = []
    like = torch.zeros((), dtype=torch.float64)

    def one() -> float:
        if not waiting:
            waiting.extend(uniform((_BLOCK,), like, generator).tolist())
        return waiting.pop()

    return one


def _windows(warmup: int) -> tuple[int, list[int]]:
    """When sums for the metric begin, and the ends of windows that double in length.

    The first may see no more than the way to where the posterior lies, and ends soon: until then
    trajectories are long. The last fifth is left to the step size.
    """
    begin = warmup // 10
    return begin, [max(begin + 2, warmup // 5), 2 * warmup // 5, 4 * warmup // 5]
